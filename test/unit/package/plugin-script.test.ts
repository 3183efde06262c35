import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { ROOT } from '../../support/source-file.ts'

const SCRIPT = resolve(ROOT, 'package/plugin.ts')

/** What the script says when it fails, on a machine without Docker and with nothing built. */
async function refusal(...words: string[]): Promise<string> {
  const empty = mkdtempSync(join(tmpdir(), 'ovt-plugin-'))
  const env = { PATH: empty, PLUGIN_DIR: join(empty, 'plugin') }
  const said = await new Promise<string>((done) => {
    execFile(process.execPath, [SCRIPT, ...words], { env }, (error, _, stderr) => {
      done(error?.code === 1 ? stderr : `ended with ${error?.code}`)
    })
  })
  rmSync(empty, { recursive: true })
  return said
}

test('a machine without Docker is told to install it', async () => {
  assert.match(await refusal('build'), /docker is not installed: install Docker on this machine/)
  assert.match(await refusal('push', 'a/b'), /docker is not installed/)
})

test('a plugin that was not built is built first', async () => {
  assert.match(await refusal('create', 'a/overlay-ts'), /build it first \(npm run plugin:build\)/)
})

test('a plugin needs one name', async () => {
  assert.match(await refusal('create'), /wanted one name such as registry\.example\.com/)
  assert.match(await refusal('push', 'a/b', 'c/d'), /wanted one name/)
})

test('a command that does not exist is answered with those that do', async () => {
  assert.match(await refusal('pull'), /wanted one of build, create, push, found "pull"/)
})
