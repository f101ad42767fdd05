// The page "When things go wrong" of daemon/README.md, and the commands that it tells operators to type.
import { readFileSync } from 'node:fs'

/** The page as text. The tests run at the root of the project. */
export function troublePage(): string {
  const text = readFileSync('daemon/README.md', 'utf8')
  return text.slice(text.indexOf('\n## When things go wrong\n') + 1).split(/\n## /)[0]!
}

/** Without the word `ringd`, each once: in a span of code, or a line of a block of code. */
export function commandsOf(page: string): readonly string[] {
  const found = [...page.matchAll(/(?:`|^)ringd ([^`\n]+)(?:`|$)/gm)]
  return [...new Set(found.map(([, command]) => command!))]
}
