// The machine of one daemon, as far as a campaign can spoil it: its wall clock, the time that its disk takes to sync,
// and the files that it may open. Owns the small files by which it does so.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Low, so that idle clients can use up what the store needs. */
export const OPEN_FILES_MAX = 1024
const COMPILE_MS_MAX = 30_000
const PRLIMIT = '/usr/bin/prlimit'

/** A library before the C library: each sync first waits for as many ms as the file CHAOS_SYNC says. */
const SLOW_SYNC_C = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void wait_first(void) {
  const char *path = getenv("CHAOS_SYNC");
  FILE *file = path ? fopen(path, "r") : NULL;
  int ms = 0;
  if (!file) return;
  if (fscanf(file, "%d", &ms) == 1 && ms > 0) usleep(1000 * ms);
  fclose(file);
}
int fdatasync(int fd) { wait_first(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
int fsync(int fd) { wait_first(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
`

/** Whether this machine can make disks slow: it needs a C compiler. */
export function canSlowSyncs(): boolean {
  return spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0
}

/** Builds the library in `folder`. Undefined without a C compiler. */
export function buildSlowSyncs(folder: string): string | undefined {
  if (!canSlowSyncs()) return undefined
  const library = join(folder, 'slow-sync.so')
  const argv = ['-shared', '-fPIC', '-O1', '-x', 'c', '-', '-o', library, '-ldl']
  execFileSync('cc', argv, { input: SLOW_SYNC_C, timeout: COMPILE_MS_MAX })
  return library
}

export class Machine {
  /** The start of the daemon's command line. */
  readonly prefix: readonly string[]
  readonly #clock: string
  readonly #sync: string

  /** `slowSyncs`: the library; undefined: syncs are never slow. */
  constructor(folder: string, slowSyncs: string | undefined) {
    mkdirSync(folder, { recursive: true })
    this.#clock = join(folder, 'clock')
    this.#sync = join(folder, 'sync')
    const falseClock = new URL('./false-clock.js', import.meta.url)
    const variables = [`NODE_OPTIONS=--import=${falseClock}`, `CHAOS_CLOCK=${this.#clock}`]
    if (slowSyncs !== undefined) variables.push(`LD_PRELOAD=${slowSyncs}`, `CHAOS_SYNC=${this.#sync}`)
    const limit = `--nofile=${OPEN_FILES_MAX}:${OPEN_FILES_MAX}`
    this.prefix = [...(existsSync(PRLIMIT) ? [PRLIMIT, limit, '--'] : []), 'env', ...variables]
  }

  /** The wall clock is `aheadMs` ahead of the others'; 0: it is right. */
  setClock(aheadMs: number): void {
    put(this.#clock, String(aheadMs))
  }

  /** Each sync of the disk takes this much longer. */
  setSync(ms: number): void {
    put(this.#sync, String(ms))
  }
}

/** No reader sees a half-written file. */
function put(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}
