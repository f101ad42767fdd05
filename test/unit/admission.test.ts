// Who may ask what: the table against the specification and its page, and each kind of asker against the table.
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ADMISSION, Admission, type Asker, type RequestKind } from '../../lib/actors/admission.js'
import { RingdError } from '../../lib/errors.js'
import { type Body, type Link, STREAM_CLASSES } from '../../lib/network/network.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { standingOf } from '../../lib/views/standing.js'
import { config, type HandMade, idOf, linkOf, ringView } from '../sim/harness/ring-views.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('admission')

const KINDS = Object.keys(ADMISSION) as RequestKind[]
const PROTO = readFileSync('lib/network/wire.proto', 'utf8')
const PAGE = readFileSync('lib/network/messages.md', 'utf8')

const WHO: Readonly<Record<string, readonly Asker[]>> = {
  members: ['member'],
  'members, leavers': ['member', 'leaver'],
  'members, former members': ['member', 'leaver', 'former'],
  'members, former members, joiners': ['member', 'leaver', 'former', 'joiner']
}

/** The names of the fields of `Frame.body`. */
function bodiesOfFrame(): string[] {
  const frame = /message Frame \{[\s\S]*?oneof body \{([\s\S]*?)\n {2}\}/.exec(PROTO)![1]!
  return Array.from(frame.matchAll(/^ *[A-Z]\w+ (\w+) = \d+;/gm), (match) => match[1]!)
}

/** The rows of the page: stream, message, who may, answer. */
function rowsOfPage(): { stream: string; message: string; who: string; answer: string }[] {
  return Array.from(PAGE.matchAll(/^\| ([\w, ]+) \| `(\w+)` \|[^|]*\| ([^|]*) \| ([^|]*) \|/gm), (match) => ({
    stream: match[1]!,
    message: match[2]!,
    who: match[3]!,
    answer: match[4]!
  }))
}

test('every message of a frame is a request with a row, an answer, a message of a client, or about the link', () => {
  const rows = rowsOfPage()
  const answers = new Set(rows.flatMap(({ answer }) => Array.from(answer.matchAll(/`(\w+)`/g), (match) => match[1]!)))
  for (const body of bodiesOfFrame()) {
    const isOther = answers.has(body) || body.startsWith('client') || body === 'refusal' || body === 'hello'
    assert.is(KINDS.includes(body as RequestKind), !isOther, body)
  }
})

test('the table and the page say the same', () => {
  const rows = rowsOfPage().filter(({ stream }) => /operations|control|bulk/.test(stream))
  assert.equal(rows.map(({ message }) => message).sort(), [...KINDS].sort())
  for (const { stream, message, who } of rows) {
    const rule = ADMISSION[message as RequestKind]
    assert.equal([rule.streams.join(', '), [...rule.who]], [stream, [...WHO[who]!]], message)
  }
})

test('a store id counts only with the peer to which the view gives it', () => {
  const view = viewOf({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] }, ['c'])
  const claims: [Link, string][] = [
    [linkOf('b'), 'member'],
    [linkOf('c'), 'former'],
    [linkOf('x'), 'joiner'],
    [{ ...linkOf('x'), storeId: '' }, 'joiner'],
    [{ ...linkOf('x'), storeId: idOf('b') }, 'stranger'],
    [{ ...linkOf('b'), storeId: idOf('c') }, 'stranger']
  ]
  assert.equal(
    claims.map(([link]) => standingOf(view, link)),
    claims.map(([, standing]) => standing)
  )
})

test('each kind is answered to those of its row, and to nobody else', () => {
  const { admission } = gate(['c', 'e'], [config(2, 'abd')])
  // `c` left a while ago, `e` still owns in a window of the next view.
  admission.useView(viewOf({ number: 3, window: [config(2, 'abe'), config(3, 'abd')] }, ['c', 'e']))
  const askers: [Link, Asker][] = [
    [linkOf('b'), 'member'],
    [linkOf('e'), 'leaver'],
    [linkOf('c'), 'former'],
    [linkOf('x'), 'joiner'],
    [{ ...linkOf('x'), storeId: idOf('b') }, 'stranger']
  ]
  for (const kind of KINDS) {
    for (const [link, asker] of askers) {
      const { streams, who } = ADMISSION[kind]
      const code = asker === 'former' && streams.includes('operations') ? 'REMOVED' : 'BAD_REQUEST'
      for (const stream of STREAM_CLASSES) {
        const refusal = admission.refusal(link, stream, bodyOf(kind, 3))
        const wanted = streams.includes(stream) ? code : 'BAD_REQUEST'
        const isServed = streams.includes(stream) && who.includes(asker)
        assert.is(refusal?.code, isServed ? undefined : wanted, `${kind} of a ${asker} on ${stream}`)
      }
    }
  }
  for (const body of [{}, { done: {} }, { clientGet: { key: new Uint8Array(0), consistency: '' } }, { hello: {} }]) {
    assert.is(admission.refusal(linkOf('b'), 'control', body as Body)?.code, 'BAD_REQUEST')
  }
})

test('a peer of a newer view is not served, and this member asks another member for that view', () => {
  const { admission, caughtUp } = gate([], [config(1, 'abc')])
  const fresh = linkOf('x')
  for (const kind of KINDS.filter((one) => !ADMISSION[one].who.includes('joiner') && one !== 'pingThrough')) {
    assert.is(admission.refusal(fresh, ADMISSION[kind].streams[0]!, bodyOf(kind, 9))?.code, 'BEHIND', kind)
  }
  assert.is(caughtUp.length, 1, 'requests of one moment cause one exchange')
  assert.ok(['peer-b', 'peer-c'].includes(caughtUp[0]!))
  const impostor = { ...fresh, storeId: idOf('b') }
  assert.is(admission.refusal(impostor, 'operations', bodyOf('read', 9))?.code, 'BAD_REQUEST')
  assert.is(caughtUp.length, 1)
})

test('only members may ask on a pull stream, and a member is told of newer views like for any request', () => {
  const { admission, caughtUp } = gate(['c'], [config(2, 'abd')])
  const askers: [Link, string | undefined][] = [
    [linkOf('b'), undefined],
    [linkOf('c'), 'BAD_REQUEST'],
    [linkOf('x'), 'BAD_REQUEST'],
    [{ ...linkOf('x'), storeId: idOf('b') }, 'BAD_REQUEST']
  ]
  for (const [link, code] of askers) assert.is(admission.refusalOf(link, 'pull', 2)?.code, code, link.peerId)
  assert.is(admission.refusalOf(linkOf('c'), 'pull', 1)?.code, 'STALE_VIEW')
  assert.is(admission.refusalOf(linkOf('x'), 'pull', 9)?.code, 'BEHIND')
  assert.is(caughtUp.length, 1)
})

test('a former member that is behind is told the newer views', () => {
  const { admission } = gate(['c'], [config(2, 'abd')])
  for (const kind of ['close', 'repairSums', 'prepare', 'read'] as const) {
    const refusal = admission.refusal(linkOf('c'), ADMISSION[kind].streams[0]!, bodyOf(kind, 1))
    assert.equal([refusal?.code, refusal?.message], ['STALE_VIEW', 'you know 1'], kind)
  }
})

test('a member that has left may be used by clients for ten minutes, and not when it was taken for dead', async () => {
  for (const isLost of [false, true]) {
    const { admission, clock } = gate([], [config(1, 'abc')])
    admission.useView(viewOf({ number: 2, window: [config(1, 'abc'), config(2, 'abd')] }, ['c'], isLost ? ['c'] : []))
    const read = () => admission.refusal(linkOf('c'), 'operations', bodyOf('read', 3))?.code
    assert.is(read(), undefined, 'it owns in a window')
    admission.useView(viewOf({ number: 3, window: [config(2, 'abd')] }, ['c'], isLost ? ['c'] : []))
    assert.is(read(), isLost ? 'REMOVED' : undefined)
    await clock.advance(600_001)
    assert.is(read(), 'REMOVED')
    assert.is(admission.refusal(linkOf('c'), 'bulk', bodyOf('offer', 3)), undefined, 'it may still hand over')
  }
})

test('a peer without a ring is asked only what a joiner may ask', () => {
  const admission = new Admission(deps(new VirtualClock(), []))
  for (const kind of KINDS) {
    const { streams, who } = ADMISSION[kind]
    const code = admission.refusal(linkOf('b'), streams[0]!, bodyOf(kind, 1))?.code
    assert.is(code, who.includes('joiner') ? undefined : 'NOT_SERVING', kind)
  }
})

function deps(clock: VirtualClock, caughtUp: string[]) {
  const letters = 'bcde'
  return {
    clock,
    random: seeded(1),
    network: {
      link: (peerId: string) => (letters.includes(peerId.slice(-1)) ? linkOf(peerId.slice(-1)) : undefined)
    },
    refuse: (code: 'STALE_VIEW', theirs: number) => new RingdError(code, `you know ${theirs}`),
    catchUp: (peerId: string) => void caughtUp.push(peerId)
  }
}

/** The gate of member `a`, with these former members. */
function gate(former: readonly string[], window: HandMade['window']) {
  const clock = new VirtualClock()
  const caughtUp: string[] = []
  const admission = new Admission(deps(clock, caughtUp))
  admission.useView(viewOf({ number: window.at(-1)!.begin, window }, former))
  return { admission, clock, caughtUp }
}

/** A view of member `a` in which some are no members any more. */
function viewOf(made: Omit<HandMade, 'self'>, former: readonly string[], lost: readonly string[] = []): RingView {
  const view = ringView({ ...made, self: 'a' })
  const members = new Map(view.members)
  const peerIds = new Map(view.peerIds)
  for (const letter of former) {
    members.delete(idOf(letter))
    peerIds.set(idOf(letter), `peer-${letter}`)
  }
  return { ...view, members, peerIds, lost: new Set(lost.map(idOf)) }
}

/** A body of that kind that names a view; the other fields do not matter here. */
function bodyOf(kind: RequestKind, view: number): Body {
  return { [kind]: { view, instance: view + 1 } } as unknown as Body
}

test.run()
