// Attacks on entries: versions of the far future, keys beyond the limit, closed slots, pushed clocks.
import type { Body } from '../../../lib/network/network.js'
import { type Attack, type Context, crowd, pause, repeat, untilEnd } from '../attack.js'
import { dialAny, enter } from '../means/entry.js'
import { ALL_SLOTS, blockOf, bodiesOf, envelopeOf } from '../means/frames.js'
import { claimOf, memberLinks, type PeerLink } from '../means/member-node.js'
import { codeOf, NOBODY_CLAIM, PeerStream } from '../means/peer-stream.js'
import { ask, respSocket } from '../means/resp.js'

/** The last moment that fits a version: the year 10889. */
const LAST_MS = 2 ** 48 - 1
const KEYS_MAX = 60

const farVersions: Attack = {
  name: 'far-versions',
  as: ['joiner', 'member'],
  tries: 'Hands in entries with versions of the year 10889, as writes, as offers and as repairs.',
  holds: 'They are refused, and a later write of an honest client is what everybody reads.',
  async run(context) {
    let turn = 0
    await repeat(context, async () => {
      const links = await memberLinks(context)
      const { storeId } = claimOf(context)
      for (; turn < KEYS_MAX && !context.signal.aborted; turn++) {
        const name = `attack:far:${turn}`
        const key = new Uint8Array(Buffer.from(name))
        await handIn(context, links, { key, value: Buffer.from('forged, and longer'), ms: LAST_MS, storeId })
        await overwrite(context, name)
        if (links.every(({ operations }) => operations.closed)) throw new Error('the links have ended')
      }
      await untilEnd(context)
    })
  }
}

/** An honest client writes the key through one daemon, and reads it through another. */
async function overwrite(context: Context, name: string): Promise<void> {
  const { victims } = context.target
  const at = context.draws.below(victims.length)
  const writer = await respSocket(context, victims[at]!.respPort)
  const reader = await respSocket(context, victims[(at + 1) % victims.length]!.respPort)
  try {
    const written = await ask(context, writer, 'SET', name, 'honest')
    if (written.startsWith('-CLOCKSKEW') || written.includes('CLOCK'))
      context.breach(`an honest write fails: ${written}`)
    if (!written.startsWith('+OK')) return
    const found = await ask(context, reader, 'STRLEN', name)
    context.did(`honest write reads ${found}`)
    if (found.startsWith(':') && found !== ':6') context.breach('a far version wins over an honest write')
  } finally {
    writer.destroy()
    reader.destroy()
  }
}

async function handIn(
  context: Context,
  links: readonly PeerLink[],
  plan: Parameters<typeof envelopeOf>[0] & { readonly key: Uint8Array<ArrayBuffer> }
): Promise<void> {
  const { view } = context.target
  const { key } = plan
  const bodies = bodiesOf(context)
  const block = blockOf(plan)
  const envelope = new Uint8Array(envelopeOf(plan))
  for (const { operations, bulk } of links) {
    const asked = [
      operations.ask({ write: { view, key, envelope } }),
      operations.ask({ write: { view, key, envelope, repair: true } }),
      bulk.ask({ offer: { ...bodies.offer, view, ...block } }),
      bulk.ask({ repairEntries: { ...bodies.repairEntries, view, ...block } })
    ]
    for (const answer of await Promise.allSettled(asked)) {
      context.did(answer.status === 'fulfilled' ? codeOf(answer.value) : 'no answer')
    }
  }
}

const LONG_KEY_BYTES = 200 * 1024

const longKeys: Attack = {
  name: 'long-keys',
  as: ['joiner', 'member'],
  tries: 'Writes and offers keys of 200 KiB, which no transfer could carry.',
  holds: 'They are refused.',
  async run(context) {
    const links = await memberLinks(context)
    const { storeId } = claimOf(context)
    const { view } = context.target
    await repeat(context, async () => {
      for (const { operations, bulk } of links) {
        const key = new Uint8Array(LONG_KEY_BYTES).fill(context.draws.below(256))
        const plan = { key, value: new Uint8Array(1), ms: Date.now(), storeId }
        const answer = await operations.ask({ write: { view, key, envelope: new Uint8Array(envelopeOf(plan)) } })
        context.did(codeOf(answer))
        if (answer.written !== undefined) context.breach('a key of 200 KiB is written')
        const offered = await bulk.ask({ offer: { ...bodiesOf(context).offer, view, ...blockOf(plan) } })
        context.did(codeOf(offered))
        const found = await operations.ask({ read: { view, key } }).catch(() => undefined)
        if (found?.value?.envelope !== undefined) context.breach('a key of 200 KiB is stored')
      }
      await pause(context, 100)
    })
  }
}

const closedSlots: Attack = {
  name: 'closed-slots',
  as: ['joiner', 'member'],
  tries: 'Has every slot closed below a moment in the future: prepares, commits, catches up and aborts in every order.',
  holds: 'A stranger is refused; nothing acknowledged is denied.',
  async run(context) {
    const links = await memberLinks(context)
    const { view } = context.target
    await repeat(context, async () => {
      for (const { bulk } of links) {
        const step = context.draws.below(4)
        const ahead = context.draws.pick([-60, 0, 4, 60, 86_400 * 365])
        const before = Math.floor(Date.now() / 1000) + ahead
        const first = context.draws.below(16384)
        const ranges = context.draws.below(2) === 0 ? ALL_SLOTS : [{ first, last: first }]
        for (const config of [1, view]) {
          const answer = await bulk.ask({ close: { view, config, ranges, before, step } })
          context.did(codeOf(answer))
          if (answer.closed !== undefined && context.as === 'joiner') context.breach('a stranger closes slots')
        }
      }
      await pause(context, 5)
    })
  }
}

const PUSH_MS = 4900

const pushedClocks: Attack = {
  name: 'pushed-clocks',
  as: ['data', 'joiner', 'member'],
  tries: 'Stamps its packets 4.9 s ahead of the clock, again and again, and far beyond.',
  holds:
    'Clocks of clients and strangers are not observed, those of members in part: the members go on with each other.',
  async run(context) {
    if (context.as === 'data') return pushAsClient(context)
    const links = await memberLinks(context)
    const { ping } = bodiesOf(context)
    await crowd(context, links.length, (index) =>
      repeat(context, async () => {
        const { control } = links[index]!
        if (control.closed) return untilEnd(context)
        control.post({ ping }, Date.now() + context.draws.pick([PUSH_MS, PUSH_MS, 2 * PUSH_MS, 86_400_000]))
        context.did('packets')
        await pause(context, 10)
      })
    )
  }
}

async function pushAsClient(context: Context): Promise<void> {
  const node = await enter(context)
  await crowd(context, 3, () =>
    repeat(context, async () => {
      const stream = await PeerStream.open(context, await dialAny(context, node), 'client', NOBODY_CLAIM)
      while (!context.signal.aborted && !stream.closed) {
        stream.post({ clientQuery: bodiesOf(context).clientQuery }, Date.now() + PUSH_MS)
        context.did('packets')
        await pause(context, 20)
      }
    })
  )
}

/** Requests that only a member of the view may make. */
function memberRequests(context: Context): Array<readonly ['operations' | 'bulk' | 'control', Body]> {
  const bodies = bodiesOf(context)
  const { read, write, compare, offer, close, tally, askTransfers } = bodies
  const { repairSums, repairVersions, repairEntries } = bodies
  const bulk = [{ compare }, { offer }, { close }, { tally }, { askTransfers }]
  const repairs = [{ repairSums }, { repairVersions }, { repairEntries }]
  const key = new Uint8Array(Buffer.from('good:1'))
  return [
    ['operations', { read: { ...read, key } }],
    ['operations', { write }],
    ...[...bulk, ...repairs].map((body) => ['bulk', body] as const),
    ['control', { prepare: bodies.prepare }],
    ['control', { accept: bodies.accept }]
  ]
}

const strangerRequests: Attack = {
  name: 'stranger-requests',
  as: ['joiner'],
  tries: 'Without a place in the view, asks for everything that only members may ask, also under the ids of members.',
  holds: 'Each request is refused.',
  async run(context) {
    const claims = [undefined, ...context.target.members.map(({ storeId }) => storeId)]
    await repeat(context, async () => {
      for (const storeId of claims) {
        const claim = storeId === undefined ? claimOf(context) : { ringId: context.target.ringId, storeId }
        const links = await memberLinks(context, { claim }).catch(() => [])
        context.did(links.length === 0 ? 'hello refused' : 'hello taken')
        for (const link of links) await askAsMember(context, link, storeId !== undefined)
        for (const { wire } of links) wire.connection.abort(new Error('next'))
      }
    })
  }
}

async function askAsMember(context: Context, link: PeerLink, isClaimed: boolean): Promise<void> {
  for (const [stream, body] of memberRequests(context)) {
    if (link[stream].closed) return
    const answer = await link[stream].ask(body).catch(() => undefined)
    context.did(answer === undefined ? 'no answer' : codeOf(answer))
    if (answer === undefined || answer.refusal !== undefined) continue
    const who = isClaimed ? 'somebody under the id of a member' : 'a stranger'
    context.breach(`${Object.keys(body)[0]} is answered to ${who}`)
  }
}

export const ENTRY_ATTACKS: readonly Attack[] = [strangerRequests, farVersions, longKeys, closedSlots, pushedClocks]
