import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
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

/**
 * Writes overlay-ts-VERSION-linux-x64.tar.gz, which has one folder, overlay-ts, and is the same
 * bytes for the same sources and packages. gzip, since every machine has it.
 * @returns its path
 */
export async function buildTarball({
  dir = BUILD_DIR,
  level = 6,
}: BuildOptions = {}): Promise<string> {
  mkdirSync(dir, { recursive: true })
  const path = join(dir, `overlay-ts-${releaseVersion()}-linux-x64.tar.gz`)
  const work = mkdtempSync(join(dir, 'tarball-'))
  try {
    layOut(join(work, 'overlay-ts'))
    const made = join(work, 'made.tar.gz')
    await runProgram([
      ...argv`tar --create --file ${made} --directory ${work} --format gnu --sort name`,
      ...argv`--mtime @${await releaseTime()} --owner 0 --group 0 --numeric-owner --mode u=rwX,go=rX`,
      '--use-compress-program',
      `gzip --no-name -${level}`,
      'overlay-ts',
    ])
    renameSync(made, path)
  } finally {
    rmSync(work, { recursive: true })
  }
  return path
}
