/**
 * Builds what a machine installs overlay-ts from, in build/: the tarball (npm run package:tar) or Debian's package
 * (npm run package:deb). Prints the file's path. SOURCE_DATE_EPOCH is the time that all files get; the last commit's unless told.
 */
import { messageOf, OverlayError } from '../src/errors.ts'
import { buildDeb } from './build-deb.ts'
import { buildTarball } from './build-tarball.ts'

const KINDS: Readonly<Record<string, () => Promise<string>>> = { tar: buildTarball, deb: buildDeb }

const [kind = ''] = process.argv.slice(2)
const chosen = KINDS[kind]
try {
  if (chosen === undefined) {
    throw new OverlayError('bad_input', `wanted one of tar, deb, found "${kind}"`)
  }
  console.log(await chosen())
} catch (error) {
  console.error(`release: ${messageOf(error)}`)
  process.exitCode = 1
}
