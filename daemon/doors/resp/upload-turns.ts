// Who may send the rest of a large request while memory is short: a few clients at a time, until their requests are
// whole. Without turns many clients would each fill a part of the memory, and none could finish.

/** So many requests of the largest size fit beside what filled the memory. */
const TURNS = 4

export class UploadTurns<Client> {
  readonly #having = new Set<Client>()
  readonly #ended: () => void

  /** `ended` is called when a turn becomes free. */
  constructor(ended: () => void) {
    this.#ended = ended
  }

  /** Whether the client may send on. Takes a free turn for it when memory is short. */
  mayGoOn(client: Client, isShort: boolean): boolean {
    if (!isShort || this.#having.has(client)) return true
    if (this.#having.size >= TURNS) return false
    this.#having.add(client)
    return true
  }

  /** The request of the client is whole, or the client has left. */
  end(client: Client): void {
    if (this.#having.delete(client)) this.#ended()
  }
}
