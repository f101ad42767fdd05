// Two processes under one identity: how they are told from one process that was started again. A copied data directory
// or a cloned machine has the key of its original, so both prove the same peer id. Each process draws an instance
// number, and names it in its hellos. When a peer has two connections under one id with two instances, it asks the
// older one to sign the number of the newer one. Only a process that still runs, beside the newer one, can do that: the
// connection of a process that was started again is dead, and answers nothing.
// Invariants: a process believes that it has a twin only by its own key, in a statement about its own instance number
// that it did not make. So no other peer can end it. Of two processes exactly one ends: both compare the same numbers.
import { type Bytes, fromText, toHex } from '../bytes.js'
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Random } from '../random.js'
import type { Me } from './wire.js'

/** One start of a process. */
export interface Instance {
  /** 16 hex digits, drawn at the start; '' for a peer that names none. */
  readonly id: string
  /** Its wall clock at the start, ms. */
  readonly startedAtMs: number
}

export const INSTANCE_BYTES = 8
export const NO_INSTANCE: Instance = { id: '', startedAtMs: 0 }
const SIGNATURE_BYTES_MAX = 128

export function newInstance(clock: Pick<Clock, 'now'>, random: Random): Instance {
  return { id: toHex(random.bytes(INSTANCE_BYTES)), startedAtMs: clock.now() }
}

/** Whether `one` was started after `other`, by the clocks of both. Of two instances exactly one is the later. */
export function isLater(one: Instance, other: Instance): boolean {
  if (one.startedAtMs !== other.startedAtMs) return one.startedAtMs > other.startedAtMs
  return one.id > other.id
}

/** The instance in an answer `me`. Throws BAD_MESSAGE. */
export function instanceOf({ instance, startedAtMs }: Me): Instance {
  return { id: instanceIdOf(instance), startedAtMs: startOf(startedAtMs) }
}

/** Throws BAD_MESSAGE unless the number has its length, or is empty. */
export function instanceIdOf(bytes: Bytes): string {
  if (bytes.length !== 0 && bytes.length !== INSTANCE_BYTES)
    throw new RingdError('BAD_MESSAGE', `an instance number has ${INSTANCE_BYTES} bytes, not ${bytes.length}`)
  return toHex(bytes)
}

export function startOf(ms: number): number {
  if (Number.isSafeInteger(ms) && ms >= 0) return ms
  throw new RingdError('BAD_MESSAGE', 'the start of a process is no moment')
}

/** What the process of `instance` signs when it is asked with `challenge`, the instance number of another process. */
export function instanceStatement({ id, startedAtMs }: Instance, challenge: string): Bytes {
  return fromText(`ringd instance ${id} ${startedAtMs} asked with ${challenge}`)
}

/**
 * The other process that runs under the id of this peer, by a statement that another peer brought. Undefined when the
 * statement shows no such thing.
 */
export async function twinOf(
  me: Me,
  self: Instance,
  peerId: PeerId,
  verify: (peerId: PeerId, bytes: Bytes, signature: Bytes) => Promise<boolean>
): Promise<Instance | undefined> {
  const twin = instanceOf(me)
  if (twin.id === '' || twin.id === self.id || me.signature.length > SIGNATURE_BYTES_MAX) return undefined
  return (await verify(peerId, instanceStatement(twin, self.id), me.signature)) ? twin : undefined
}
