// Checks that a version names one value of one key, on all disks and for the whole run, and that a disk does not
// replace a version by an older one. An `image` says what a fault did to a disk, so an image may hold older versions.
import type { Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'

interface Named {
  readonly key: string
  readonly value: string | undefined
}

export class Versions extends BaseChecker {
  readonly rule = 'versions'
  readonly #names = new Map<string, Named>()

  protected check(observation: Observation): void {
    if (observation.type === 'stored') {
      const { at, member, key, version, value } = observation
      this.#checkEntry(at, member, key, version, value)
      const { replaced } = this.state.disks
      if (replaced === undefined || replaced.version <= version) return
      const text = `${member} stored version ${version} of ${key} over the newer ${replaced.version}`
      this.report(at, `merge ${member} ${version}`, text)
    } else if (observation.type === 'image') {
      const { at, member, entries } = observation
      for (const [key, { version, value }] of entries) this.#checkEntry(at, member, key, version, value)
    }
  }

  #checkEntry(at: number, member: string, key: string, version: string, value: string | undefined): void {
    const named = this.#names.get(version)
    if (named === undefined) {
      this.#names.set(version, { key, value })
      this.#checkValue(at, member, key, value)
    } else if (named.key !== key || named.value !== value) {
      const text = `version ${version} is ${named.key} = ${named.value}, but on ${member} it is ${key} = ${value}`
      this.report(at, `version ${version}`, text)
    }
  }

  /** A value is stored only under the key that it was put to. */
  #checkValue(at: number, member: string, key: string, value: string | undefined): void {
    const put = value === undefined ? undefined : this.state.put(value)
    if (put === undefined || put.asked.key === key) return
    this.report(at, `value ${value}`, `${member} stored ${value} under ${key}, but it was put to ${put.asked.key}`)
  }
}
