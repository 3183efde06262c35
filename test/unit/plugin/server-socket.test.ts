import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { listen } from '../../../plugin/server.ts'
import { clearStaleSocket } from '../../../plugin/stale-socket.ts'
import { OverlayError } from '../../../src/errors.ts'
import { startScriptedPlugin } from '../../support/scripted-plugin.ts'
import { UnixClient } from '../../support/unix-client.ts'

/** What ends a hang; how soon something happens is not judged. */
const PATIENCE = { timeout: 30_000 }

const NETWORK = 'aff2'.repeat(16)

test('closing lets a running call finish, and takes the socket file away', async (t) => {
  const started = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  const { client, server, socketPath } = await startScriptedPlugin(t, {
    network: {
      deleteNetwork: async () => {
        started.resolve()
        await finish.promise
      },
    },
  })
  const reply = client.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK })
  await started.promise
  const closed = server.close()
  assert.equal(await Promise.race([closed, sleep(100, 'waiting')]), 'waiting')
  await assert.rejects(new UnixClient(socketPath).call('Plugin.Activate'))
  finish.resolve()
  assert.equal((await reply).status, 200)
  await closed
  assert.equal(existsSync(socketPath), false)
})

test('closing waits no longer than it says', async (t) => {
  const never = Promise.withResolvers<void>()
  const { client, server } = await startScriptedPlugin(t, {
    network: { deleteNetwork: () => never.promise },
    drainMs: 50,
  })
  const reply = client.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK })
  const lost = assert.rejects(reply)
  await t.waitFor(() => assert.equal(client.connections, 1), PATIENCE)
  await server.close()
  await lost
  never.resolve()
})

test('the socket is for its owner and group only', async (t) => {
  const { socketPath } = await startScriptedPlugin(t)
  assert.equal((await stat(socketPath)).mode & 0o777, 0o660)
})

test('the file of a dead plugin is replaced', async (t) => {
  const { app, socketPath } = await startScriptedPlugin(t)
  // Bound, and the process gone: what kill -9 leaves.
  const dead = `${socketPath}.dead`
  const bind = 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])'
  execFileSync('python3', ['-c', bind, dead])
  await using _server = await listen(app, dead)
  using client = new UnixClient(dead)
  assert.equal((await client.call('Plugin.Activate')).status, 200)
})

test('a second plugin is told which setting leads to the socket of another', async (t) => {
  const { client, socketPath } = await startScriptedPlugin(t)
  await assert.rejects(clearStaleSocket(socketPath, 'HOST_SOCKET'), {
    code: 'conflict',
    message: `another process listens on ${socketPath}; stop that plugin first, or set HOST_SOCKET to another path`,
  })
  assert.equal((await client.call('Plugin.Activate')).status, 200)
})

test('a second plugin on the same socket is refused and the first goes on', async (t) => {
  const { app, client, socketPath } = await startScriptedPlugin(t)
  await assert.rejects(listen(app, socketPath), (error: unknown) => {
    assert.ok(error instanceof OverlayError)
    assert.equal(error.code, 'conflict')
    assert.match(error.message, /^another process listens on .*overlay-ts\.sock/)
    return true
  })
  assert.equal((await client.call('Plugin.Activate')).status, 200)
})

test('a listener that never answers still counts as alive', async (t) => {
  const { app, socketPath } = await startScriptedPlugin(t)
  const mute = createServer(() => {}).listen(`${socketPath}.mute`)
  await once(mute, 'listening')
  t.after(() => mute.close())
  await assert.rejects(listen(app, `${socketPath}.mute`), { code: 'conflict' })
})

test('a file that is no socket is left alone', async (t) => {
  const { app, socketPath } = await startScriptedPlugin(t)
  const path = `${socketPath}.txt`
  await writeFile(path, 'precious')
  await assert.rejects(listen(app, path), /file of another kind/)
  assert.equal(existsSync(path), true)
})

test('one app answers on two sockets', async (t) => {
  const { app, socketPath } = await startScriptedPlugin(t)
  await using _second = await listen(app, `${socketPath}.second`)
  using client = new UnixClient(`${socketPath}.second`)
  assert.equal((await client.call('Plugin.Activate')).status, 200)
})
