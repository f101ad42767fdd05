// put, get, ttl, del and incr: each works on one key, through any peer. Values are bytes and are not changed.
import { once } from 'node:events'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Bytes, fromHex, fromText, toHex } from '../../lib/bytes.js'
import { integerOf } from '../../lib/decisions.js'
import { RingdError } from '../../lib/errors.js'
import { VALUE_BYTES_MAX } from '../../lib/limits.js'
import { printableBytes, printableLines } from '../../lib/printable.js'
import { humanDuration, parseTtl } from './duration.js'
import { addConsistencyOption, addPeerOptions, type PeerOptions, withClient } from './peer-options.js'

interface GetOptions extends PeerOptions {
  readonly raw?: boolean
  readonly version?: boolean
}

interface PutOptions extends PeerOptions {
  /** ms */
  readonly ttl?: number
  readonly ifAbsent?: boolean
  readonly ifVersion?: Bytes
}

export function addDataCommands(program: Command): void {
  const put = program
    .command('put')
    .description('store a value; prints OK when enough owners have written it to disk')
    .argument('<key>')
    .argument('<value>', 'the value, or - to read it from stdin (write -- before a value that begins with -)')
    .addOption(
      new Option('--ttl <time>', 'expires after this long: 90 (seconds), 500ms, 10m, 2h, 7d').argParser(parseTtl)
    )
    .option('--if-absent', 'only when the key has no value; otherwise exit code 13 (CONDITION_FAILED)')
    .addOption(
      new Option('--if-version <version>', 'only when the value is still the one of this version (get --version)')
        .argParser(parseVersion)
        .conflicts('ifAbsent')
    )
    .action(putCommand)
  const get = program
    .command('get')
    .description('print the bytes of a value; exit code 3 when there is no such key')
    .argument('<key>')
    .option('--raw', 'on a terminal, too, print the bytes as they are; they may control the terminal')
    .option('--version', 'print the version of the value, for put --if-version, and not its bytes')
    .action(async (key: string, options: GetOptions) => {
      if (options.version) return printVersion(key, options)
      const value = await withClient(options, (client) => client.get(key))
      if (value === undefined) throw new RingdError('NOT_FOUND')
      await writeValue(shownValue(value, { terminal: process.stdout.isTTY, raw: options.raw === true }))
    })
  const ttl = program
    .command('ttl')
    .description('print the time until a key expires, or never; exit code 3 when there is no such key')
    .argument('<key>')
    .option('--json', 'print {"key": ..., "expiresInMs": ...}; null means never')
    .action(async (key: string, options: PeerOptions) => {
      const found = await withClient(options, (client) => client.find(key))
      if (found === undefined) throw new RingdError('NOT_FOUND')
      const { expiresInMs } = found
      const text = expiresInMs === undefined ? 'never' : humanDuration(expiresInMs)
      const json = printableLines(JSON.stringify({ key, expiresInMs: expiresInMs ?? null }))
      process.stdout.write(`${options.json ? json : text}\n`)
    })
  const del = program
    .command('del')
    .description('delete a key; prints 1 when it had a value, else 0')
    .argument('<key>')
    .action(async (key: string, options: PeerOptions) => {
      const existed = await withClient(options, (client) => client.delete(key))
      process.stdout.write(existed ? '1\n' : '0\n')
    })
  const incr = program
    .command('incr')
    .description('add to the integer of a key, 0 when it has no value; prints the sum')
    .argument('<key>')
    .argument('[by]', 'a whole number, 1 by default; with -- before a negative one', parseInteger)
    .action(async (key: string, by: bigint | undefined, options: PeerOptions) => {
      const sum = await withClient(options, (client) => client.increment(key, by ?? 1n))
      process.stdout.write(`${sum}\n`)
    })
  for (const command of [put, get, ttl, del, incr]) addConsistencyOption(addPeerOptions(command))
}

async function putCommand(key: string, value: string, options: PutOptions): Promise<void> {
  const { ttl, ifAbsent, ifVersion } = options
  const bytes = value === '-' ? await readAll(process.stdin, VALUE_BYTES_MAX) : fromText(value)
  const condition = ifVersion === undefined ? (ifAbsent ? 'absent' : undefined) : { version: ifVersion }
  const isDone = await withClient(options, async (client) => {
    if (condition !== undefined) return client.putIf(condition, key, bytes, undefined, ttl)
    await client.put(key, bytes, undefined, ttl)
    return true
  })
  if (isDone) process.stdout.write('OK\n')
  else throw new RingdError('CONDITION_FAILED', ifAbsent ? 'the key has a value' : 'the value is of another version')
}

async function printVersion(key: string, options: PeerOptions): Promise<void> {
  const found = await withClient(options, (client) => client.find(key))
  if (found === undefined) throw new RingdError('NOT_FOUND')
  process.stdout.write(`${toHex(found.version)}\n`)
}

function parseVersion(text: string): Bytes {
  if (!/^[0-9a-f]{32}$/i.test(text)) throw new InvalidArgumentError('a version has 32 hex digits; see get --version')
  return fromHex(text)
}

function parseInteger(text: string): bigint {
  const integer = integerOf(fromText(text))
  if (integer === undefined) throw new InvalidArgumentError('not a whole number of 64 bits')
  return integer
}

/**
 * A pipe gets exactly the bytes of the value. A terminal gets a newline at the end, and escapes in place of the bytes
 * that could control it, unless `raw`.
 */
export function shownValue(value: Bytes, { terminal, raw }: { terminal: boolean; raw: boolean }): Bytes {
  if (!terminal) return value
  return raw ? Buffer.concat([value, fromText('\n')]) : fromText(`${printableBytes(value)}\n`)
}

async function writeValue(value: Bytes): Promise<void> {
  if (!process.stdout.write(value)) await once(process.stdout, 'drain')
}

/** Reads a whole stream, up to `bytesMax`. Throws VALUE_TOO_LARGE at the first byte beyond it. */
export async function readAll(stream: AsyncIterable<Bytes>, bytesMax: number): Promise<Bytes> {
  const chunks: Bytes[] = []
  let length = 0
  for await (const chunk of stream) {
    length += chunk.length
    if (length > bytesMax) throw new RingdError('VALUE_TOO_LARGE', `stdin has more than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}
