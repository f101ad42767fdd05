// Text and bytes that came from elsewhere (a peer, a client, a disk), made safe to show on a terminal. Pure.
// A terminal obeys control characters: they can hide text, write elsewhere on the screen, set its title, or type.
// Characters that change the direction of text can show one thing for another. All of them become visible escapes.
// Every text of another peer that is shown passes through here; nothing else in the project escapes for a terminal.
import { type Bytes, toText } from './bytes.js'

/** C0, DEL and C1; marks, embeddings, overrides and isolates of direction; separators of lines and paragraphs. */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
/** The same, but for tab and newline. */
const UNSAFE_IN_LINES = /(?![\t\n])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
const SHORT: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/** One line of text: `\u001b` in place of an escape character, `\n` in place of a newline. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** Text of several lines. Tabs and newlines stay. Also for JSON: the escapes are those of JSON, so its data stay. */
export function printableLines(text: string): string {
  return text.replace(UNSAFE_IN_LINES, escaped)
}

/** A copy of a value that JSON can hold, with each text in it as `printable` makes it. */
export function printableValues<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_, inner) => (typeof inner === 'string' ? printable(inner) : inner))
}

/** A value of a client: as text of several lines when it is UTF-8, else with `\x` escapes for all but ASCII. */
export function printableBytes(bytes: Bytes): string {
  const text = toText(bytes)
  if (!text.includes('\ufffd')) return printableLines(text)
  const hex = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`
  const isPlain = (byte: number) => (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a
  return Array.from(bytes, (byte) => (isPlain(byte) ? String.fromCharCode(byte) : hex(byte))).join('')
}

function escaped(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
