// A planted bug: edits of compiled modules that break one rule, and the function that applies them.

export interface Edit {
  /** The path of the module below dist/. */
  readonly file: string
  /** A text that occurs exactly once in the compiled file. */
  readonly find: string
  readonly replace: string
}

export interface Bug {
  readonly name: string
  /** The behaviour of the broken code, in one sentence. */
  readonly breaks: string
  /** The scenarios that fail with this bug. */
  readonly scenarios: readonly string[]
  readonly edits: readonly Edit[]
}

/** An edit of a module of lib/. The parts of `replace` are joined by spaces. */
export function edit(file: string, find: string, ...replace: readonly string[]): Edit {
  return { file: `lib/${file}.js`, find, replace: replace.join(' ') }
}

/** The text of a compiled module with the bug. Throws unless the text of each edit occurs exactly once. */
export function patched(bug: Bug, file: string, text: string): string {
  let changed = text
  for (const { find, replace } of bug.edits.filter((one) => one.file === file)) {
    const count = changed.split(find).length - 1
    if (count !== 1)
      throw new Error(`bug ${bug.name}: its text occurs ${count} times in ${file}, not once; adapt its edit`)
    changed = changed.replace(find, () => replace)
  }
  return changed
}
