// Which of the known operations have taken effect at one point of a search. Immutable. All operations below `low` have;
// above it a few. So a set is small, however long the history is.

const WORD_BITS = 32

export class DoneSet {
  /** The first operation that has not taken effect. */
  readonly low: number
  /** Bits from the word of `low` on; without trailing zeros. */
  readonly #words: readonly number[]
  readonly count: number

  private constructor(low: number, words: readonly number[], count: number) {
    this.low = low
    this.#words = words
    this.count = count
  }

  static readonly NONE = new DoneSet(0, [], 0)

  has(index: number): boolean {
    if (index < this.low) return true
    const word = (index >>> 5) - (this.low >>> 5)
    return (((this.#words[word] ?? 0) >>> (index & 31)) & 1) === 1
  }

  with(index: number): DoneSet {
    const words = [...this.#words]
    const first = this.low >>> 5
    const word = (index >>> 5) - first
    while (words.length <= word) words.push(0)
    words[word] = words[word]! | (1 << (index & 31))
    let low = this.low
    while ((((words[(low >>> 5) - first] ?? 0) >>> (low & 31)) & 1) === 1) low += 1
    words.splice(0, (low >>> 5) - first)
    if (low % WORD_BITS === 0 && words.every((bits) => bits === 0)) words.length = 0
    return new DoneSet(low, words, this.count + 1)
  }

  /** Equal for equal sets. */
  get text(): string {
    return `${this.low} ${this.#words.join(' ')}`
  }
}
