// Checks what the clients of a ring saw. Pure: a history in, complaints out. Each key has one writer. It writes 1, 2, 3
// and so on, and writes a number only when the one before was acknowledged, so a number tells how old a value is. Times
// are monotonic ms of one process, taken before a request leaves and after its answer arrived: they order the
// operations as they happened.
// Source: Lamport, "On interprocess communication", 1986 (regular and atomic registers).

export interface Write {
  readonly key: string
  /** Counts up from 1. */
  readonly value: number
  readonly peer: string
  readonly begin: number
  /** When it was acknowledged, perhaps after attempts that failed. Infinity when it never was. */
  end: number
}

export interface Read {
  readonly key: string
  /** 0: there was no value. NaN: the value was not one that this key's writer writes. */
  readonly value: number
  readonly peer: string
  readonly begin: number
  readonly end: number
}

/** An operation that ended with an error. */
export interface Failure {
  readonly key: string
  readonly peer: string
  readonly message: string
  readonly begin: number
  readonly end: number
}

export class History {
  readonly writes: Write[] = []
  readonly reads: Read[] = []
  readonly failures: Failure[] = []
}

export interface CheckOptions {
  /** Each of these peers must have served a read of every key after the key's last acknowledged write. */
  readonly readBackBy?: readonly string[]
  /** The failures that are allowed. Default: none. */
  readonly mayFail?: (failure: Failure) => boolean
}

/** Every fault in the history, one line each; empty when there is none. O(n log n). */
export function complaints(history: History, options: CheckOptions = {}): string[] {
  const { readBackBy = [], mayFail = () => false } = options
  const writes = byKey(history.writes)
  const reads = byKey(history.reads)
  const found: string[] = []
  for (const [key, list] of writes) found.push(...disorder(key, list))
  for (const [key, list] of reads) {
    const written = writes.get(key) ?? []
    for (const read of list) found.push(...misread(read, written))
    found.push(...steppedBack(list))
  }
  for (const [key, list] of writes) found.push(...notReadBack(key, list, reads.get(key) ?? [], readBackBy))
  for (const failure of history.failures) {
    if (!mayFail(failure)) found.push(`${failure.key} failed through ${failure.peer}: ${failure.message}`)
  }
  return found
}

/** The longest time within [from, to] in which no operation through `peer` succeeded; ms. */
export function longestGap(history: History, peer: string, from: number, to: number): number {
  const successes = [...history.reads, ...history.writes]
    .filter((one) => one.peer === peer && one.end > from && one.end <= to)
    .map(({ end }) => end)
    .sort((a, b) => a - b)
  let gap = 0
  let before = from
  for (const at of [...successes, to]) {
    gap = Math.max(gap, at - before)
    before = at
  }
  return gap
}

/** Faults in the history itself: a writer that skipped a number, or did not wait for an acknowledgement. */
function disorder(key: string, writes: readonly Write[]): string[] {
  const found: string[] = []
  for (const [index, write] of writes.entries()) {
    const before = writes[index - 1]
    if (write.value !== index + 1) found.push(`${key}: its writer wrote ${write.value} where ${index + 1} was due`)
    if (before !== undefined && !(before.end <= write.begin)) {
      found.push(`${key}: its writer began ${write.value} before ${before.value} was acknowledged`)
    }
  }
  return found
}

function misread(read: Read, writes: readonly Write[]): string[] {
  const { key, value, peer } = read
  if (Number.isNaN(value)) return [`${key} through ${peer}: what was read was never written`]
  // Begin and end both rise along the list, so two counts bound the values that may be read.
  const least = count(writes, (write) => write.end < read.begin)
  const most = count(writes, (write) => write.begin <= read.end)
  if (value < least) {
    const what = value === 0 ? 'is missing' : `is stale: ${value} was read`
    return [`${key} through ${peer} ${what}, ${least} had been acknowledged ${age(read, writes[least - 1])}`]
  }
  return value > most ? [`${key} through ${peer}: ${value} was read before it was written`] : []
}

function age(read: Read, write: Write | undefined): string {
  const { begin = 0, end = 0 } = write ?? {}
  return `${(read.begin - end).toFixed(1)} ms before the read began (written ${begin.toFixed(1)} to ${end.toFixed(1)})`
}

/** After a read returned a value, no read that begins later may return an older one. */
function steppedBack(reads: readonly Read[]): string[] {
  const found: string[] = []
  const ended = [...reads].sort((a, b) => a.end - b.end)
  let newest: Read | undefined
  let at = 0
  for (const read of [...reads].sort((a, b) => a.begin - b.begin)) {
    for (let one = ended[at]; one !== undefined && one.end < read.begin; one = ended[++at]) {
      if (newest === undefined || one.value > newest.value) newest = one
    }
    if (newest === undefined || read.value >= newest.value) continue
    found.push(`${read.key}: ${read.value} through ${read.peer} after ${newest.value} through ${newest.peer}`)
  }
  return found
}

function notReadBack(
  key: string,
  writes: readonly Write[],
  reads: readonly Read[],
  peers: readonly string[]
): string[] {
  const last = writes.findLast(({ end }) => Number.isFinite(end))
  if (last === undefined) return []
  return peers
    .filter((peer) => !reads.some((read) => read.peer === peer && read.begin > last.end))
    .map((peer) => `${key} was not read back through ${peer}`)
}

function byKey<T extends { readonly key: string }>(records: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const record of records) {
    const group = groups.get(record.key)
    if (group === undefined) groups.set(record.key, [record])
    else group.push(record)
  }
  return groups
}

/** How many records at the front fulfil `test`. It must hold for a first part of the list and for no later record. */
function count(writes: readonly Write[], test: (write: Write) => boolean): number {
  let low = 0
  let high = writes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (test(writes[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}
