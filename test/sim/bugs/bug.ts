// What a planted bug is: edits of compiled modules that break one rule, and how they are made.

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

/** An edit of a module of lib/; long code comes in pieces. */
export function edit(file: string, find: string, ...replace: readonly string[]): Edit {
  return { file: `lib/${file}.js`, find, replace: replace.join(' ') }
}

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
