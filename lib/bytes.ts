// Small functions on bytes. Pure.

export type Bytes = Uint8Array

export const EMPTY_BYTES: Bytes = new Uint8Array(0)

/** A Buffer over the same memory: no copy. */
export function asBuffer(bytes: Bytes): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function toHex(bytes: Bytes): string {
  return asBuffer(bytes).toString('hex')
}

/** The bytes of a hex string of even length. A wrong digit ends the result early, so the caller checks the length. */
export function fromHex(hex: string): Bytes {
  return Buffer.from(hex, 'hex')
}

export function fromText(text: string): Bytes {
  return Buffer.from(text, 'utf8')
}

export function toText(bytes: Bytes): string {
  return asBuffer(bytes).toString('utf8')
}

/** Compares lexicographically: negative, zero or positive. */
export function compareBytes(a: Bytes, b: Bytes): number {
  return Buffer.compare(a, b)
}

export function sameBytes(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

declare const brand: unique symbol

/** Bytes of one known form. The brand exists for the compiler only: two forms are never mixed up by mistake. */
export type BrandedBytes<Form extends string> = Bytes & { readonly [brand]: Form }
