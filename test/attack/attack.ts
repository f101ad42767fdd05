// What an attack is, what it is told, and how it counts what it did. Types, and loops that end with the attack.
// An attack runs in a process of its own (attacker.ts), so it may waste memory and time of its own.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Draws } from './means/draws.js'

/**
 * outsider: knows every address, peer id and ring id, and no secret. data: has the secret of clients with data rights,
 * and the Redis password. joiner: has the ring secret, and is in no view. member: has the key of a member of the view,
 * which answers the others like a member and lies.
 */
export type Role = 'outsider' | 'data' | 'joiner' | 'member'
export const ROLES: readonly Role[] = ['outsider', 'data', 'joiner', 'member']

/** One daemon under attack. */
export interface Victim {
  readonly name: string
  readonly peerId: string
  readonly storeId: string
  readonly host: string
  readonly port: number
  readonly respPort: number
}

/** Everything that the attacker is told. Secrets are hex. They are present when the role has them. */
export interface Target {
  readonly victims: readonly Victim[]
  readonly ringId: string
  /** The newest view when the attack began, and all members of it. */
  readonly view: number
  readonly members: readonly { readonly storeId: string; readonly peerId: string }[]
  /** The public name of the ring secret for connections of members, hex: whoever watches a handshake reads it. */
  readonly secretId: string
  readonly respPassword?: string | undefined
  readonly dataSecret?: string | undefined
  readonly ringSecret?: string | undefined
  /** The member of the view that the attacker has taken over: its private key (hex) and its member id. */
  readonly liar?: { readonly key: string; readonly storeId: string } | undefined
  /** The port of a daemon that waits for a ring to join, for attacks that need one. */
  readonly joiner?: Victim | undefined
}

export interface Context {
  readonly target: Target
  readonly as: Role
  /** Aborted when the time of the attack is over. */
  readonly signal: AbortSignal
  readonly draws: Draws
  /** Counts what the attack did. */
  did(what: string, count?: number): void
  /** The attacker reached what must not be reachable. */
  breach(what: string): void
}

export interface Attack {
  readonly name: string
  readonly as: readonly Role[]
  /** One sentence: what the attacker does. */
  readonly tries: string
  /** One sentence: what must hold, besides the bounds that hold for all attacks. */
  readonly holds: string
  /** The campaign starts a daemon that waits for a ring to join. It must join none. */
  readonly needs?: 'joiner'
  /** The campaign starts a daemon that joins the ring during the attack. It must be let in. */
  readonly newcomer?: boolean
  /** The campaign restarts the first daemon during the attack. It must serve again as the same member. */
  readonly restarts?: boolean
  /** The attacker may add members by the rules, so the ring is replaced afterwards. */
  readonly replaces?: boolean
  run(context: Context): Promise<void>
}

/** Pause after a failure, so that an attacker that is refused does not spin. */
const REFUSED_PAUSE_MS = 20

/** Repeats `step` until the attack ends. A step that throws is counted as `refused`. */
export async function repeat(context: Context, step: () => Promise<void>): Promise<void> {
  while (!context.signal.aborted) {
    try {
      await step()
    } catch (thrown) {
      if (context.signal.aborted) return
      context.did(`refused: ${reasonOf(thrown)}`)
      await pause(context, REFUSED_PAUSE_MS)
    }
    // A step that never waits would keep the signal from being heard.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Runs `count` copies of `work` at once, and resolves when all have ended. None of them rejects. */
export async function crowd(context: Context, count: number, work: (index: number) => Promise<void>): Promise<void> {
  const guarded = async (index: number) => {
    try {
      await work(index)
    } catch (thrown) {
      if (!context.signal.aborted) context.did(`refused: ${reasonOf(thrown)}`)
    }
  }
  await Promise.all(Array.from({ length: count }, (_, index) => guarded(index)))
}

/** Resolves after `ms`, or when the attack ends. */
export async function pause({ signal }: Pick<Context, 'signal'>, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {})
}

/** Resolves when the attack ends. */
export function untilEnd({ signal }: Pick<Context, 'signal'>): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** `work`, or a rejection when it takes longer than `ms` or the attack ends. */
export async function within<T>({ signal }: Pick<Context, 'signal'>, ms: number, work: Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = sleep(ms, undefined, { signal: AbortSignal.any([signal, over.signal]) }).then(
    () => Promise.reject(new Error('no answer')),
    () => new Promise<never>((_, reject) => (signal.aborted ? reject(new Error('the attack is over')) : undefined))
  )
  late.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    over.abort()
  }
}

/** A short reason, without the parts that differ from case to case. */
export function reasonOf(thrown: unknown): string {
  const text = thrown instanceof Error ? `${(thrown as { code?: string }).code ?? thrown.name}` : String(thrown)
  return text.slice(0, 60)
}
