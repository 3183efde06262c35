import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { argv } from '../lab/argv.ts'
import { runProgram } from './program.ts'
import {
  BUILD_DIR,
  layOut,
  releaseTime,
  releaseVersion,
  type BuildOptions,
} from './release-tree.ts'

const DEBIAN = join(import.meta.dirname, 'debian')
const SCRIPTS = ['postinst', 'prerm', 'postrm']

/**
 * Writes overlay-ts_VERSION_amd64.deb: the same tree as the tarball in /opt/overlay-ts, the unit,
 * the settings file as a configuration file, and the command overlay-ts.
 * @returns its path
 */
export async function buildDeb({ dir = BUILD_DIR, level = 6 }: BuildOptions = {}): Promise<string> {
  mkdirSync(dir, { recursive: true })
  const version = releaseVersion()
  const path = join(dir, `overlay-ts_${version}_amd64.deb`)
  const work = mkdtempSync(join(dir, 'deb-'))
  try {
    const root = join(work, 'root')
    const own = join(root, 'opt', 'overlay-ts')
    layOut(own)
    place(join(own, 'plugin', 'systemd', 'overlay-ts.service'), root, 'lib/systemd/system')
    place(join(own, 'plugin', 'systemd', 'overlay-ts.env'), root, 'etc/overlay-ts')
    mkdirSync(join(root, 'usr', 'bin'), { recursive: true })
    symlinkSync('/opt/overlay-ts/bin/overlay-ts', join(root, 'usr', 'bin', 'overlay-ts'))
    await runProgram(['chmod', '-R', 'u=rwX,go=rX', root])
    // Passwords may stand in it.
    chmodSync(join(root, 'etc', 'overlay-ts', 'overlay-ts.env'), 0o600)
    const kib = (await runProgram(argv`du -sk --apparent-size ${root}`)).split('\t')[0]!
    writeControl(join(root, 'DEBIAN'), { VERSION: version, INSTALLED_KIB: kib })
    // Packages are equal for equal input when dpkg-deb is told the time.
    await runProgram(
      argv`env SOURCE_DATE_EPOCH=${await releaseTime()} dpkg-deb --root-owner-group -Zgzip -z${level}
        --build ${root} ${join(work, 'made.deb')}`,
    )
    renameSync(join(work, 'made.deb'), path)
  } finally {
    rmSync(work, { recursive: true })
  }
  return path
}

function place(file: string, root: string, folder: string): void {
  mkdirSync(join(root, folder), { recursive: true })
  cpSync(file, join(root, folder, file.split('/').at(-1)!))
}

function writeControl(target: string, values: Readonly<Record<string, string>>): void {
  mkdirSync(target)
  for (const name of readdirSync(DEBIAN)) {
    const text = readFileSync(join(DEBIAN, name), 'utf8')
    const filled = text.replaceAll(/@([A-Z_]+)@/g, (_, key: string) => values[key]!)
    writeFileSync(join(target, name), filled)
    chmodSync(join(target, name), SCRIPTS.includes(name) ? 0o755 : 0o644)
  }
}
