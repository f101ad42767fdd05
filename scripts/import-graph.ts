// Finds import circles: files that import themselves through others. Pure: it knows only which file imports which.
// Imports of types count. A circle of types also keeps its files from being read, moved or tested one at a time.

export interface ImportEdge {
  readonly to: string
  /** The line of the import statement. */
  readonly line: number
}

/** Which file imports which, by path. */
export type ImportGraph = ReadonlyMap<string, readonly ImportEdge[]>

export interface ImportCircle {
  /** The line in the first file that imports the second one. */
  readonly line: number
  /** In the order of the imports, with the first file again at the end. */
  readonly files: readonly string[]
}

/**
 * Import circles, no two of which share an import, shortest first. When none is found, the graph has no circle. Where
 * circles overlap, some are found only after others were removed. Equal lengths are ordered by path, so the same graph
 * gives the same circles. O(circles x files x imports).
 */
export function importCircles(graph: ImportGraph): ImportCircle[] {
  const open = onlyCircular(graph)
  const found: ImportCircle[] = []
  for (let files = shortestLoop(open); files !== undefined; files = shortestLoop(open)) {
    const [first = '', second = ''] = files
    found.push({ line: open.get(first)?.find((edge) => edge.to === second)?.line ?? 0, files })
    for (const [index, from] of files.slice(0, -1).entries()) {
      open.set(from, open.get(from)?.filter((edge) => edge.to !== files[index + 1]) ?? [])
    }
  }
  return found
}

/** The graph without the files that import nothing of it, again and again: they are on no circle. */
function onlyCircular(graph: ImportGraph): Map<string, readonly ImportEdge[]> {
  const open = new Map<string, readonly ImportEdge[]>([...graph].sort(([a], [b]) => (a < b ? -1 : 1)))
  for (let before = -1; before !== open.size; ) {
    before = open.size
    for (const [file, edges] of open) {
      const left = edges.filter((edge) => open.has(edge.to))
      if (left.length === 0) open.delete(file)
      else open.set(file, left)
    }
  }
  return open
}

function shortestLoop(graph: ImportGraph): string[] | undefined {
  let shortest: string[] | undefined
  for (const file of graph.keys()) {
    const loop = loopThrough(file, graph)
    if (loop !== undefined && (shortest === undefined || loop.length < shortest.length)) shortest = loop
  }
  return shortest
}

/** A shortest way along imports from `start` back to it; breadth first. */
function loopThrough(start: string, graph: ImportGraph): string[] | undefined {
  const cameFrom = new Map<string, string>()
  const queue = [start]
  for (const file of queue) {
    for (const { to } of graph.get(file) ?? []) {
      if (to === start) return [...wayTo(file, cameFrom), start]
      if (cameFrom.has(to)) continue
      cameFrom.set(to, file)
      queue.push(to)
    }
  }
  return undefined
}

function wayTo(file: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const way = [file]
  for (let before = cameFrom.get(file); before !== undefined; before = cameFrom.get(before)) way.unshift(before)
  return way
}
