// The order in which `npm test` runs files, and which run beside each other, for a machine of two cores. Pure.
// The longest files come first, so that no long one is left alone at the end. A high time limit stands for a long file.
import type { TestFile, TestKind } from './test-file.js'

/** How much of the machine a file takes: two busy files fill it, three that wait, or one busy one and two that wait. */
const SHARES: Readonly<Record<TestKind, number>> = { busy: 5, patient: 5, waiting: 3 }
const SHARES_MAX = 11

/** A file that is to be started now. */
export interface Turn {
  readonly file: TestFile
  /** The file only gets the time that the others leave. */
  readonly isLow: boolean
}

/** A header comment of the file declares its kind. Without one, tests of daemons wait, and others are busy. */
export function kindOf(name: string, source: string): TestKind {
  if (/^\/\/ mostly computes$/m.test(source)) return 'busy'
  if (/^\/\/ mostly waits$/m.test(source)) return 'waiting'
  if (/^\/\/ virtual time$/m.test(source)) return 'patient'
  return isOfDaemons(name) ? 'waiting' : 'busy'
}

function isOfDaemons(name: string): boolean {
  return name.startsWith('test/e2e/')
}

/** Tests of daemons and files that wait come first, and the longest before others. */
export function inOrder(files: readonly TestFile[]): TestFile[] {
  const isLater = ({ name, kind }: TestFile) => Number(!isOfDaemons(name) && kind !== 'waiting')
  return [...files].sort((a, b) => isLater(a) - isLater(b) || b.limitMs - a.limitMs)
}

export class TestQueue {
  readonly #waiting: TestFile[]
  readonly #running = new Set<Turn>()

  constructor(files: readonly TestFile[]) {
    this.#waiting = inOrder(files)
  }

  /** The next file for which there is room now. Beside files that wait, one patient file runs at a low priority. */
  take(): Turn | undefined {
    const running = [...this.#running]
    // Beside files that wait, a file of low priority takes nothing from them. Beside a busy file it needs a core of its
    // own, or it would not end in time.
    const isBeside = running.some(({ file }) => file.kind === 'waiting')
    const taken = running.reduce((sum, { file, isLow }) => sum + (isLow && isBeside ? 0 : SHARES[file.kind]), 0)
    const fits = ({ kind }: TestFile) => taken + SHARES[kind] <= SHARES_MAX
    const isPatient = ({ kind }: TestFile) => kind === 'patient'
    const hasOthers = !this.#waiting.every(isPatient)
    const at = this.#waiting.findIndex((file) => fits(file) && !(hasOthers && isPatient(file)))
    if (at >= 0) return this.#start(at, false)
    const low = running.some(({ isLow }) => isLow) ? -1 : this.#waiting.findIndex(isPatient)
    return low >= 0 && isBeside ? this.#start(low, true) : undefined
  }

  ended(turn: Turn): void {
    this.#running.delete(turn)
  }

  #start(at: number, isLow: boolean): Turn {
    const turn = { file: this.#waiting.splice(at, 1)[0]!, isLow }
    this.#running.add(turn)
    return turn
  }
}
