// Judges what lies on disks: a version names one value of one key, everywhere and for ever, and a disk that holds a
// version takes no older one over it (an image tells what became of a disk by force, so there it may go back).
import type { Observation } from '../run/observation.js'
import { Judge } from './judge.js'

interface Named {
  readonly key: string
  readonly value: string | undefined
}

export class Versions extends Judge {
  readonly rule = 'versions'
  readonly #names = new Map<string, Named>()

  protected judge(observation: Observation): void {
    if (observation.type === 'stored') {
      const { at, member, key, version, value } = observation
      this.#judgeEntry(at, member, key, version, value)
      const { replaced } = this.state.disks
      if (replaced === undefined || replaced.version <= version) return
      const text = `${member} stored version ${version} of ${key} over the newer ${replaced.version}`
      this.report(at, `merge ${member} ${version}`, text)
    } else if (observation.type === 'image') {
      const { at, member, entries } = observation
      for (const [key, { version, value }] of entries) this.#judgeEntry(at, member, key, version, value)
    }
  }

  #judgeEntry(at: number, member: string, key: string, version: string, value: string | undefined): void {
    const named = this.#names.get(version)
    if (named === undefined) {
      this.#names.set(version, { key, value })
      this.#judgeValue(at, member, key, value)
    } else if (named.key !== key || named.value !== value) {
      const text = `version ${version} is ${named.key} = ${named.value}, and on ${member} it is ${key} = ${value}`
      this.report(at, `version ${version}`, text)
    }
  }

  /** A value lies only under the key that it was put to. */
  #judgeValue(at: number, member: string, key: string, value: string | undefined): void {
    const put = value === undefined ? undefined : this.state.put(value)
    if (put === undefined || put.asked.key === key) return
    this.report(at, `value ${value}`, `${member} stored ${value} under ${key}, but it was put to ${put.asked.key}`)
  }
}
