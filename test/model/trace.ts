// What happens in a run, line by line, for whoever reads a violation.
import { type Entry, keysOf, versionText, type Write } from './entries.js'
import type { Packet } from './messages.js'
import type { Ring } from './ring.js'

type Print = (line: string) => void

export function traceTo(ring: Ring, print: Print): void {
  ring.onPacket = (packet) => print(`${ring.time} ${packetText(ring, packet)}`)
}

export function historyText(ring: Ring): string[] {
  const operations = ring.operations.map((one) => {
    const tries = one.attempts.map(({ origin }) => versionText(origin)).join(' ')
    const head = `${one.name} r${one.router.id} ${one.kind} keys ${one.keys} ${one.start}..${one.end}`
    return `${head} ${one.status} "${one.answer}" tries ${tries}`
  })
  const configs = ring.configs.map(
    ({ owners, ready }, id) => `config ${id}: n${owners.join(' n')} ready ${[...ready].join(' ')}`
  )
  return [...operations, ...configs.slice(1)]
}

function entryText(entry: Entry | undefined): string {
  if (entry === undefined || entry.version === 0) return '-'
  const origin = entry.origin === entry.version ? '' : `<${versionText(entry.origin)}`
  return `${versionText(entry.version)}${origin}=${entry.value ?? 'absent'}`
}

function writeText({ set, open, entries }: Write): string {
  return `${open ? 'group' : 'single'} ${keysOf(set)
    .map((key) => `k${key}:${entryText(entries[key])}`)
    .join(' ')}`
}

function packetText(ring: Ring, { to, message }: Packet): string {
  const head = `${to.kind === 'node' ? 'n' : 'r'}${to.id} <- ${message.kind}`
  const name = 'id' in message ? ring.underWay.get(message.id)?.name || '*' : ''
  let state = ''
  if (to.kind === 'node') {
    const { entries, promises, promisedSets, open, bound } = to.owner
    const texts = entries.map(
      (entry, key) => `${entryText(entry)} p${versionText(promises[key]!)}/${promisedSets[key]} o${open[key]}`
    )
    state = `| ${texts.join(', ')} bound ${versionText(bound)} known ${to.known} base ${to.base}`
  }
  switch (message.kind) {
    case 'ask': {
      const { ask, from, known } = message
      if (ask.kind === 'read') return `${head} r${from.id} ${name} read ${ask.set} known ${known} ${state}`
      if (ask.kind === 'prepare') {
        return `${head} r${from.id} ${name} prepare ${versionText(ask.ballot)} set ${ask.set} known ${known} ${state}`
      }
      return `${head} r${from.id} ${name} ${ask.way} ${writeText(ask.write)} known ${known} ${state}`
    }
    case 'answer': {
      const { answer } = message
      const entries = 'entries' in answer ? answer.entries.map((entry) => entryText(entry)).join(', ') : ''
      const rest = JSON.stringify({ ...answer, entries: undefined })
      return `${head} n${answer.owner} ${name} ${rest} ${entries}`
    }
    case 'push':
      return `${head} ${writeText(message.write)} ${state}`
    case 'took':
      return `${head} n${message.source} ${writeText(message.write)} p${versionText(message.promise)} ${state}`
    case 'close':
      return `${head} ${versionText(message.version)} ${state}`
    case 'seal':
      return `${head} ${versionText(message.bound)} ${state}`
    default:
      return `${head} ${state}`
  }
}
