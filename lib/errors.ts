// The table of all errors: a code, its meaning, and its form at each door.
// Owns `RingdError` and its codes. Code compares errors by code, never by message.

/** The form of one code. `exit` is the exit status of the CLI, `resp` the first word of a Redis error reply. */
interface ErrorForm {
  readonly meaning: string
  readonly exit: number
  readonly resp: string
  readonly http: number
}

export const ERRORS = {
  BAD_REQUEST: { meaning: 'the request is malformed, or not possible here', exit: 2, resp: 'ERR', http: 400 },
  BAD_CONFIG: {
    meaning: 'a flag, environment variable or configuration file is wrong',
    exit: 2,
    resp: 'ERR',
    http: 400
  },
  BAD_ADDRESS: { meaning: 'a multiaddr or host:port cannot be used', exit: 2, resp: 'ERR', http: 400 },
  OWN_ADDRESS: { meaning: 'the address is one of this peer itself', exit: 2, resp: 'ERR', http: 400 },
  KEY_TOO_LARGE: { meaning: 'the key is longer than maxKeyBytes', exit: 2, resp: 'ERR', http: 413 },
  VALUE_TOO_LARGE: { meaning: 'the value is longer than maxValueBytes', exit: 2, resp: 'ERR', http: 413 },
  VALUE_LARGER: { meaning: 'the value is larger than this read takes', exit: 2, resp: 'ERR', http: 413 },
  NOT_FOUND: { meaning: 'there is no such key', exit: 3, resp: 'ERR', http: 404 },
  CONDITION_FAILED: {
    meaning: 'the condition of a write was false; nothing was changed',
    exit: 13,
    resp: 'ERR',
    http: 412
  },
  UNREACHABLE: { meaning: 'the peer does not answer', exit: 4, resp: 'CLUSTERDOWN', http: 503 },
  TIMEOUT: { meaning: 'no answer in time', exit: 4, resp: 'TRYAGAIN', http: 504 },
  NO_QUORUM: { meaning: 'too few owners answer; nothing was changed', exit: 4, resp: 'CLUSTERDOWN', http: 503 },
  UNKNOWN_OUTCOME: {
    meaning: 'the operation may have taken effect, may still do so, or may never; read the key to know',
    exit: 12,
    resp: 'UNKNOWN',
    http: 504
  },
  OVERLOADED: { meaning: 'a queue is full; try again later', exit: 4, resp: 'TRYAGAIN', http: 429 },
  NOT_SERVING: {
    meaning: 'this peer is not a member of a ring yet, or is stopping',
    exit: 4,
    resp: 'LOADING',
    http: 503
  },
  STALE_VIEW: {
    meaning: 'the request was made under an older view; learn the newer one and try again',
    exit: 1,
    resp: 'TRYAGAIN',
    http: 503
  },
  BEHIND: { meaning: 'this peer could not learn the newest view in time', exit: 1, resp: 'TRYAGAIN', http: 503 },
  NOT_OWNER: { meaning: 'this peer does not own the slot, or released it', exit: 1, resp: 'TRYAGAIN', http: 503 },
  TOO_FEW_MEMBERS: {
    meaning: 'fewer members would remain than an entry has copies',
    exit: 2,
    resp: 'ERR',
    http: 409
  },
  TOO_FEW_OWNERS: {
    meaning: 'acknowledged writes may be on no remaining owner',
    exit: 2,
    resp: 'ERR',
    http: 409
  },
  REMOVED: {
    meaning: 'this member was removed from the ring; it joins again as a new member',
    exit: 5,
    resp: 'ERR',
    http: 409
  },
  CLOCK_SKEW: {
    meaning: 'the clock of this peer, or a version, is too far from the time of most members',
    exit: 4,
    resp: 'CLUSTERDOWN',
    http: 503
  },
  WRONG_RING: { meaning: 'the peer belongs to another ring', exit: 5, resp: 'ERR', http: 409 },
  WRONG_VERSION: { meaning: 'the peer speaks another wire version', exit: 5, resp: 'ERR', http: 409 },
  IDENTITY_TWICE: { meaning: 'another process runs with the identity of this peer', exit: 6, resp: 'ERR', http: 409 },
  WRONG_SECRET: { meaning: 'the two ends have no secret in common', exit: 9, resp: 'ERR', http: 401 },
  NOT_ALLOWED: {
    meaning: 'the secret of this client has not the right for the request',
    exit: 9,
    resp: 'NOPERM',
    http: 403
  },
  BAD_MESSAGE: { meaning: 'a peer sent malformed bytes', exit: 1, resp: 'ERR', http: 400 },
  BAD_ENTRY: { meaning: 'a stored or transferred entry fails its checksum', exit: 1, resp: 'ERR', http: 500 },
  DATA_LOCKED: { meaning: 'another process uses the data directory', exit: 6, resp: 'ERR', http: 500 },
  DATA_FOREIGN: { meaning: 'the directory holds files that are not ringd data', exit: 6, resp: 'ERR', http: 500 },
  DATA_NEWER: { meaning: 'the data was written by a newer ringd', exit: 6, resp: 'ERR', http: 500 },
  DATA_DAMAGED: { meaning: 'the data directory is damaged or incomplete', exit: 6, resp: 'ERR', http: 500 },
  DATA_UNSAFE: {
    meaning: 'other users may change the data directory, or a file in it is a link',
    exit: 6,
    resp: 'ERR',
    http: 500
  },
  DATA_FLAWED: { meaning: 'ringd doctor found something that needs repair', exit: 10, resp: 'ERR', http: 500 },
  COPIES_DIFFER: { meaning: 'ringd verify found slots whose owners differ', exit: 11, resp: 'ERR', http: 500 },
  COPIES_UNKNOWN: {
    meaning: 'ringd verify could not compare every slot with all its owners',
    exit: 4,
    resp: 'ERR',
    http: 503
  },
  DISK_FULL: { meaning: 'no space left for writes', exit: 7, resp: 'OOM', http: 507 },
  STORE_FAILED: { meaning: 'the disk refused a write; the store is being checked', exit: 7, resp: 'ERR', http: 500 },
  PORT_IN_USE: { meaning: 'an address to listen on is taken', exit: 8, resp: 'ERR', http: 500 },
  STOPPED: { meaning: 'the peer, or a part of it, has stopped', exit: 1, resp: 'ERR', http: 503 },
  INTERNAL: { meaning: 'a defect in ringd', exit: 1, resp: 'ERR', http: 500 }
} as const satisfies Record<string, ErrorForm>

export type ErrorCode = keyof typeof ERRORS

/** Refusals of a write by an owner that may take the same write later. */
export const PASSING_REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'TIMEOUT',
  'UNREACHABLE',
  'OVERLOADED',
  'STORE_FAILED',
  'DISK_FULL',
  'BEHIND',
  'NOT_SERVING',
  'STOPPED'
])

/** Refusals after which the refused write is certainly not stored, and never will be. */
export const CERTAIN_REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'STALE_VIEW',
  'BEHIND',
  'NOT_OWNER',
  'NOT_SERVING',
  'NOT_ALLOWED',
  'OVERLOADED',
  'DISK_FULL',
  'CLOCK_SKEW',
  'BAD_REQUEST',
  'REMOVED',
  'KEY_TOO_LARGE',
  'VALUE_TOO_LARGE'
])

/** Refusals that stay the same when the owner is asked again. */
export const LASTING_REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'DISK_FULL',
  'CLOCK_SKEW',
  'BAD_ENTRY',
  'BAD_REQUEST',
  'BAD_MESSAGE',
  'REMOVED',
  'KEY_TOO_LARGE',
  'VALUE_TOO_LARGE'
])

/** The only error that leaves a module. `message` is one sentence for an operator, without the code. */
export class RingdError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string = ERRORS[code].meaning, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RingdError'
    this.code = code
  }

  get form(): ErrorForm {
    return ERRORS[this.code]
  }
}

/** Ends a read with a limit, before any value was sent. VALUE_LARGER. */
export class ValueLarger extends RingdError {
  /** Bytes that the entry takes in the store of an owner: those of the value, and a few more. */
  readonly size: number

  constructor(size: number) {
    super('VALUE_LARGER')
    this.size = size
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text)
}

/** Makes a RingdError of any thrown value: the same error, or INTERNAL with the value as its cause. */
export function toRingdError(thrown: unknown): RingdError {
  if (thrown instanceof RingdError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new RingdError('INTERNAL', message, { cause: thrown })
}

/** Checks an invariant of ringd's own code; throws INTERNAL when it does not hold. Never for input from outside. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new RingdError('INTERNAL', `broken invariant: ${invariant}`)
}
