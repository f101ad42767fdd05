// The process of one attack. Reads its order as JSON from stdin and attacks until its time is over. Prints a line when
// it begins, and one of JSON at the end: what it did, and what it reached that it must not reach. Errors inside libp2p
// must not end it, since it breaks the rules of the protocols on purpose.
import { text } from 'node:stream/consumers'
import type { Attack, Context, Role, Target } from './attack.js'
import { attackNamed } from './attacks/all.js'
import { drawsOf } from './means/draws.js'

export interface Order {
  readonly attack: string
  readonly as: Role
  readonly target: Target
  readonly seconds: number
  readonly seed: number
}

export interface Deed {
  readonly did: Readonly<Record<string, number>>
  readonly breaches: readonly string[]
  /** The attack itself failed: a defect of the attack, or nothing let it in. */
  readonly error?: string | undefined
}

const BREACHES_MAX = 100
/** The first line of the output: from now on the time of the attack counts. */
const BEGAN = 'began\n'
/** After the end of the attack, open waits get this long to end. */
const GRACE_MS = 1500
/** On a busy machine an attack that has not begun yet gets this long more. */
const BEGIN_MS_MAX = 8000
const LOOK_MS = 100

async function perform(order: Order, attack: Attack): Promise<Deed> {
  const did: Record<string, number> = {}
  const breaches: string[] = []
  const over = new AbortController()
  const context: Context = {
    ...{ target: order.target, as: order.as, signal: over.signal, draws: drawsOf(order.seed) },
    did: (what, count = 1) => {
      did[what] = (did[what] ?? 0) + count
    },
    breach: (what) => {
      if (breaches.length < BREACHES_MAX && !breaches.includes(what)) breaches.push(what)
    }
  }
  process.on('uncaughtException', () => context.did('errors in the attacker'))
  process.on('unhandledRejection', () => context.did('errors in the attacker'))
  const endsAt = performance.now() + order.seconds * 1000
  const timer = setInterval(() => {
    const lateMs = performance.now() - endsAt
    if (lateMs > BEGIN_MS_MAX || (lateMs >= 0 && Object.keys(did).length > 0)) over.abort()
  }, LOOK_MS)
  const grace = new Promise<void>((resolve) => {
    over.signal.addEventListener('abort', () => setTimeout(resolve, GRACE_MS))
  })
  let error: string | undefined
  const attacking = attack.run(context).catch((thrown: unknown) => {
    error = thrown instanceof Error ? thrown.message : String(thrown)
  })
  await Promise.race([attacking, grace])
  clearInterval(timer)
  over.abort()
  return { did, breaches, error }
}

const order: Order = JSON.parse(await text(process.stdin))
process.stdout.write(BEGAN)
const deed = await perform(order, attackNamed(order.attack))
process.stdout.write(`${JSON.stringify(deed)}\n`, () => process.exit(0))
