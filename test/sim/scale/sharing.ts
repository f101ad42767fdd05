// Lets all nodes of one process share the results of pure functions. The same view has the same owner table on every
// member, so a thousand members need not compute and keep it a thousand times. The results are immutable.
// `shareResults` rewrites the compiled functions named below while they are loaded. Call it before any module of lib/
// is imported, and import the rest dynamically. The code of the product is not changed.
import { registerHooks } from 'node:module'

type Call = (...args: readonly unknown[]) => unknown

const SHARED: Readonly<Record<string, readonly string[]>> = {
  'lib/ring/owners.js': ['ownerTable'],
  'lib/views/chain.js': ['applyChange'],
  'lib/views/configs.js': ['extendConfigs'],
  'lib/views/wire-codec.js': ['changeFromWire', 'joinRequestFromWire', 'recordFromWire', 'recordToWire'],
  'lib/actors/membership/membership-records.js': ['writeRecord', 'writeView']
}
const NAME = 'ringdSimulationShares'

/** From now on modules are loaded with shared results. Throws when a module lacks one of the functions. */
export function shareResults(): void {
  Object.defineProperty(globalThis, NAME, { value: remembering })
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const functions = Object.entries(SHARED).find(([path]) => url.endsWith(`/${path}`))?.[1]
      if (functions === undefined || !loaded.source) return loaded
      const text =
        typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString()
      return { ...loaded, source: functions.reduce((source, name) => rewritten(source, name), text) }
    }
  })
}

/** A replacement for `decode` that decodes each rumor once for all its listeners. */
export function sharedDecode<T>(
  decode: (bytes: Uint8Array, options?: object) => T
): (bytes: Uint8Array, options?: object) => T {
  const known = new WeakMap<Uint8Array, T & object>()
  return (bytes, options) => {
    let decoded = known.get(bytes)
    if (decoded === undefined) {
      decoded = decode(bytes, options) as T & object
      known.set(bytes, decoded)
    }
    return decoded
  }
}

function rewritten(source: string, name: string): string {
  const head = `export function ${name}(`
  if (!source.includes(head)) throw new Error(`the module has no function ${name} to share; update SHARED`)
  return source.replace(head, `export const ${name} = globalThis.${NAME}(${name}Alone)\nfunction ${name}Alone(`)
}

/** `call` with a cache, keyed by the identity of its arguments; lists are keyed by the identity of their elements. */
function remembering(call: Call): Call {
  const root = new Level()
  return (...args) => {
    let level = root
    for (const arg of args) level = Array.isArray(arg) ? level.ofList(arg) : level.of(arg)
    level.result ??= call(...args)
    return level.result
  }
}

/** Cached lists per argument: nodes use few views at one time. */
const LISTS_MAX = 8

class Level {
  result: unknown
  readonly #objects = new WeakMap<object, Level>()
  readonly #values = new Map<unknown, Level>()
  readonly #lists: Array<readonly [list: readonly unknown[], level: Level]> = []

  of(arg: unknown): Level {
    if (typeof arg === 'object' && arg !== null) return this.#objects.get(arg) ?? this.#add(this.#objects, arg)
    return this.#values.get(arg) ?? this.#add(this.#values, arg)
  }

  ofList(list: readonly unknown[]): Level {
    const known = this.#lists.find(
      ([other]) => other.length === list.length && other.every((one, at) => one === list[at])
    )
    if (known !== undefined) return known[1]
    const level = new Level()
    this.#lists.unshift([list, level])
    this.#lists.length = Math.min(this.#lists.length, LISTS_MAX)
    return level
  }

  #add<K>(map: { set(key: K, level: Level): unknown }, key: K): Level {
    const level = new Level()
    map.set(key, level)
    return level
  }
}
