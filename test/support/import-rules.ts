import { packageOf, type SourceFile } from './source-file.ts'

/** The one order of the layers: a file imports its own layer and those before it. */
export const LAYERS = [
  'net',
  'packet',
  'ipam',
  'store',
  'linux',
  'datapath',
  'control',
  'plugin',
] as const

/** Files beside the layers in src/, that every layer may import. */
const GROUND = ['src/errors.ts', 'src/log.ts', 'src/durable-file.ts']

/** What only some files may import, so that one place knows it and can be replaced. */
const SOLE_IMPORTERS: readonly { name: string; files: readonly RegExp[]; why: string }[] = [
  {
    name: 'koffi',
    files: [/^src\/datapath\/libc\.ts$/],
    why: 'libc is declared in one place',
  },
  {
    name: 'etcd3',
    files: [/^src\/store\/etcd(-[a-z]+)?\.ts$/],
    why: 'the store is an interface, of which etcd is one kind',
  },
  {
    name: 'node:child_process',
    files: [/^src\/linux\/run\.ts$/, /^src\/store\/etcd-(process|program)\.ts$/],
    why: 'programs are started where their failure is reported and their end awaited',
  },
  { name: 'express', files: [/^plugin\//], why: 'src/ has never heard of Docker or its protocol' },
  { name: 'dockerode', files: [/^plugin\//], why: 'src/ has never heard of Docker' },
]

/** Position of a file's layer; -1 for the ground, null outside src/ and plugin/. */
function layerOf(path: string): number | null {
  if (GROUND.includes(path)) return -1
  const [top, folder] = path.split('/')
  if (top === 'plugin') return LAYERS.indexOf('plugin')
  if (top !== 'src') return null
  return LAYERS.findIndex((layer) => layer === folder && layer !== 'plugin')
}

const isProduct = ({ path }: SourceFile): boolean => /^(src|plugin)\//.test(path)

export function unknownLayers(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => path.startsWith('src/'))
    .filter(({ path }) => !GROUND.includes(path) && layerOf(path) === -1)
    .map(({ path }) => `${path}: lies in no layer; the layers are ${LAYERS.join(', ')}`)
}

export function importsAgainstTheOrder(files: readonly SourceFile[]): string[] {
  return files.filter(isProduct).flatMap(({ path, imports }) =>
    imports
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => {
        const [own, other] = [layerOf(path)!, layerOf(name)]
        if (other === null) return [`${path}: the product must not import ${name}`]
        if (other <= own) return []
        const layer = own === -1 ? 'what all layers share' : LAYERS[own]
        return [`${path}: ${layer} must not import ${LAYERS[other]} (${name})`]
      }),
  )
}

/** Each circle of what is loaded at run time, once, from its first file in the alphabet. */
export function importCycles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const cycles = new Set<string>()
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) {
      const circle = trail.slice(at)
      const first = circle.indexOf(circle.toSorted()[0]!)
      const turned = [...circle.slice(first), ...circle.slice(0, first)]
      cycles.add(
        `${turned[0]}: imports itself by way of ${[...turned.slice(1), turned[0]].join(', ')}`,
      )
      return
    }
    if (done.has(path)) return
    for (const name of byPath.get(path)?.loads ?? []) {
      if (byPath.has(name)) visit(name, [...trail, path])
    }
    done.add(path)
  }
  for (const { path } of files) visit(path, [])
  return [...cycles]
}

export function importsOutOfPlace(files: readonly SourceFile[]): string[] {
  return files.filter(isProduct).flatMap(({ path, imports }) =>
    SOLE_IMPORTERS.filter(({ name }) => imports.some((it) => it === name || packageOf(it) === name))
      .filter(({ files }) => !files.some((pattern) => pattern.test(path)))
      .map(({ name, why }) => `${path}: must not import ${name}; ${why}`),
  )
}

/** The environment enters at the front door and is read by the configuration alone. */
export function environmentOutOfPlace(files: readonly SourceFile[]): string[] {
  const ENVIRONMENT = /\bprocess\.env\b|import \{[^}]*\benv\b[^}]*\} from 'node:process'/
  return files
    .filter(isProduct)
    .filter(({ path }) => path !== 'plugin/main.ts' && path !== 'plugin/config.ts')
    .filter(({ text }) => ENVIRONMENT.test(text))
    .map(({ path }) => `${path}: must not read the environment; plugin/config.ts does`)
}
