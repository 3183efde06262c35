import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { notifyReady } from '../../../plugin/service-manager.ts'
import { messageOf } from '../../../src/errors.ts'

/** A service manager: prints that it is there, then the datagram that it gets. Node has no such sockets. */
const RECEIVER = `
import socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + name[1:] if name.startswith('@') else name)
print('bound', flush=True)
print(s.recv(100).decode(), end='', flush=True)
`

for (const kind of ['a path', 'an abstract name']) {
  test(`the service manager is told at ${kind}`, async (t) => {
    const name = kind === 'a path' ? join(folder(t), 'notify') : `@ovt-${process.pid}-notify`
    const receiver = spawn('python3', ['-c', RECEIVER, name], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => receiver.kill())
    let said = ''
    receiver.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    while (!said.includes('bound\n')) await once(receiver.stdout, 'data')
    await notifyReady(name)
    await once(receiver, 'close')
    assert.equal(said, 'bound\nREADY=1\n')
  })
}

test('a service manager that is gone is an error with its address', async (t) => {
  const name = join(folder(t), 'nobody')
  await assert.rejects(notifyReady(name), (error) => {
    assert.match(messageOf(error), /does not take messages at .*nobody \(errno 2\)/)
    return true
  })
})

test('a name that is none is refused', async () => {
  for (const name of ['', 'relative', '@', `/${'x'.repeat(107)}`, 'vsock:2:1']) {
    await assert.rejects(notifyReady(name), /NOTIFY_SOCKET: wanted a path/, name)
  }
})

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'ovt-notify-'))
  t.after(() => rmSync(made, { recursive: true }))
  return made
}
