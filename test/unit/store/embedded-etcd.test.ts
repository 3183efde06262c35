import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createLog } from '../../../src/log.ts'
import { startEmbeddedEtcd } from '../../../src/store/embedded-etcd.ts'
import { EtcdStore } from '../../../src/store/etcd.ts'

const log = createLog('silent')

async function place(t: TestContext): Promise<{ dataDir: string; port: number }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'ovt-embedded-'))
  t.after(() => rm(dataDir, { recursive: true, force: true }))
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return { dataDir, port }
}

/** Starts an embedded etcd in another process, which then dies of kill -9. */
async function leaveBehind(dataDir: string, port: number): Promise<void> {
  const program = `
    const { startEmbeddedEtcd } = await import('${import.meta.resolve('../../../src/store/embedded-etcd.ts')}')
    const { createLog } = await import('${import.meta.resolve('../../../src/log.ts')}')
    await startEmbeddedEtcd({ dataDir: '${dataDir}', port: ${port}, log: createLog('silent') })
    process.kill(process.pid, 'SIGKILL')`
  const child = execFile(process.execPath, ['--input-type=module', '-e', program])
  await once(child, 'exit')
}

test('the embedded etcd keeps its keys over a stop and a start', async (t) => {
  const { dataDir, port } = await place(t)
  const first = await startEmbeddedEtcd({ dataDir, port, log })
  const writer = new EtcdStore({ endpoints: first.endpoints })
  await writer.commit([], [{ put: '/x/a', value: '1' }])
  await writer.close()
  await first.stop()

  const second = await startEmbeddedEtcd({ dataDir, port, log })
  const reader = new EtcdStore({ endpoints: second.endpoints })
  const { entries } = await reader.range('/x/')
  await reader.close()
  await second.stop()
  assert.equal(entries.get('/x/a')?.value, '1')
})

test('an embedded etcd whose parent was killed is taken over', async (t) => {
  const { dataDir, port } = await place(t)
  await leaveBehind(dataDir, port)
  const pid = await readFile(join(dataDir, 'etcd.pid'), 'utf8')

  const etcd = await startEmbeddedEtcd({ dataDir, port, log })
  const now = await readFile(join(dataDir, 'etcd.pid'), 'utf8')
  await etcd.stop()
  assert.equal(now, pid)
  // Gone, or a zombie that init has yet to collect.
  assert.equal(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''), '')
})

test('an embedded etcd that was left behind on another port is replaced', async (t) => {
  const { dataDir, port } = await place(t)
  await leaveBehind(dataDir, port)
  const elsewhere = await place(t)

  const etcd = await startEmbeddedEtcd({ dataDir, port: elsewhere.port, log })
  const store = new EtcdStore({ endpoints: etcd.endpoints })
  await store.range('/x/')
  await store.close()
  await etcd.stop()
  assert.deepEqual(etcd.endpoints, [`http://127.0.0.1:${elsewhere.port}`])
})

test('a missing program is named with what to install', async (t) => {
  const { dataDir, port } = await place(t)
  const start = startEmbeddedEtcd({ dataDir, port, log, program: 'etcd-that-is-not-there' })
  await assert.rejects(start, { code: 'host_state', message: /apt-get install etcd-server/ })
})

test('an etcd of somebody else on the port is named with the variable that would use it', async (t) => {
  const { dataDir, port } = await place(t)
  const theirs = await startEmbeddedEtcd({ dataDir, port, log })
  t.after(() => theirs.stop())
  const other = await place(t)
  const start = startEmbeddedEtcd({ dataDir: other.dataDir, port, log })
  await assert.rejects(start, { code: 'host_state', message: /set ETCD_ENDPOINTS=http/ })
})
