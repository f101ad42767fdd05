// Asks on the terminal before something that cannot be taken back.
import { createInterface } from 'node:readline/promises'
import { RingdError, toRingdError } from '../../lib/errors.js'

/** Resolves when the answer is yes. Throws BAD_REQUEST for another answer, with `refused`, and without a terminal. */
export async function confirm(question: string, refused: string): Promise<void> {
  if (!process.stdin.isTTY)
    throw new RingdError('BAD_REQUEST', `stdin is not a terminal, so this cannot be confirmed: add --yes; ${refused}`)
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`${question} [y/N] `)
    if (!/^y(es)?$/i.test(answer.trim())) throw new RingdError('BAD_REQUEST', refused)
  } catch (thrown) {
    throw toRingdError(thrown)
  } finally {
    terminal.close()
  }
}
