// The bugs that the simulator must find: each breaks one rule of the protocol, by an edit of a compiled module.
// Production code holds no trace of them; plant.ts applies the edits while modules are loaded.

export interface Edit {
  /** Below dist/. */
  readonly file: string
  /** Stands in the compiled file exactly once. */
  readonly find: string
  readonly replace: string
}

export interface Bug {
  readonly name: string
  /** Which rule, in a sentence. */
  readonly breaks: string
  /** The directed scenarios that fail with it. */
  readonly scenarios: readonly string[]
  readonly edits: readonly Edit[]
}

const edit = (file: string, find: string, replace: string): Edit => ({ file: `lib/${file}.js`, find, replace })

export const BUGS: readonly Bug[] = [
  {
    name: 'noFence',
    breaks: 'an owner admits operations of an older config than the newest that it knows',
    scenarios: ['lateWriteAfter'],
    edits: [
      edit(
        'actors/storage',
        'if (newestConfig(this.#view.configs.windows[slot]).begin <= message.view)',
        'if (newestConfig(this.#view.configs.windows[slot]).begin > 0)'
      )
    ]
  },
  {
    name: 'pullWithoutFence',
    breaks: 'a source answers a pull although it does not know the view of who pulls',
    scenarios: ['lateWriteMid'],
    edits: [
      edit('actors/storage', '#handlePull(message) {', '#handlePull(message) { message = { ...message, view: 0 };')
    ]
  },
  {
    name: 'snapshotBeforeFence',
    breaks: 'a source takes the snapshot first and learns the view of who pulls afterwards',
    scenarios: ['lateWriteMid'],
    edits: [
      edit(
        'actors/storage',
        '#handlePull(message) {',
        '#handlePull(message) { message.early ??= this.#reader.block(message);'
      ),
      edit('actors/storage', ': this.#reader.block(message);\n', ': message.early;\n')
    ]
  },
  {
    name: 'noDrain',
    breaks: 'a source takes the snapshot before the writes that it admitted are applied',
    scenarios: ['lateWriteAdmitted'],
    edits: [edit('actors/storage', "this.#queue({ kind: 'barrier', reply: applied }, 0)", 'applied(undefined)')]
  },
  {
    name: 'viewsForgotten',
    breaks: 'a learned view is not on disk, so that the fence is gone after a restart',
    scenarios: ['lateWriteRestart'],
    edits: [
      edit(
        'actors/ring-keeper',
        'after.changes.slice(before.changes.length).map(writeView)',
        'after.changes.slice(before.changes.length).filter(({ number }) => number <= 2).map(writeView)'
      )
    ]
  }
]

/** The text of a compiled module with the bug in it. Throws unless each edit has one place. */
export function patched(bug: Bug, file: string, text: string): string {
  let changed = text
  for (const { find, replace } of bug.edits.filter((one) => one.file === file)) {
    const places = changed.split(find).length - 1
    if (places !== 1) throw new Error(`${bug.name}: its place in ${file} is found ${places} times, not once`)
    changed = changed.replace(find, () => replace)
  }
  return changed
}
