import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { OWN_PATHS, pathsBelow, xtablesLock } from '../../../src/linux/host-paths.ts'

test('a program in a container finds the files of its host below a folder', () => {
  const paths = pathsBelow('/host')
  assert.equal(paths.procSys, '/host/proc/sys')
  assert.equal(paths.run, '/host/run')
  assert.equal(paths.of('/run/docker/netns/3d53'), '/host/run/docker/netns/3d53')
})

test('the older name of /run, which Docker uses, leads to the same place', () => {
  assert.equal(pathsBelow('/host').of('/var/run/docker/netns/3d53'), '/host/run/docker/netns/3d53')
  assert.equal(pathsBelow('/host').of('/var/runner'), '/host/var/runner')
})

test('on the host itself every path is what it is', () => {
  assert.equal(OWN_PATHS.of('/var/run/docker/netns/3d53'), '/var/run/docker/netns/3d53')
})

test('the lock of iptables is the one that the host has, once it has one', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'ovt-host-'))
  t.after(() => rm(dir, { recursive: true }))
  const paths = pathsBelow(dir)
  assert.equal(xtablesLock(paths), null)
  await mkdir(paths.run)
  await writeFile(join(paths.run, 'xtables.lock'), '')
  assert.equal(xtablesLock(paths), join(dir, 'run/xtables.lock'))
})
