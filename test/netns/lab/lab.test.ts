import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { command } from '../../../lab/command.ts'
import { Lab } from '../../../lab/lab.ts'
import { allRecords, labDir, readRecord } from '../../../lab/record.ts'
import { removeAbandonedLabs, removeLab } from '../../../lab/remove.ts'
import { explainFailure, withLab } from '../../support/lab.ts'
import { waitFor } from '../../support/wait.ts'

const STUB = join(import.meta.dirname, 'stub-plugin.ts')
const OWNER = join(import.meta.dirname, 'owner.ts')

describe('a lab of two Docker hosts and etcd', () => {
  let lab: Lab
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'] })
  })
  after(async () => {
    await lab.remove()
  })

  inLab('has hosts that reach each other and etcd', async () => {
    await lab.host('96').exec('busybox', 'ping', '-c', '1', '-W', '20', '172.18.10.98')
    await lab.host('98').exec('busybox', 'ping', '-c', '1', '-W', '20', '172.18.10.96')
    const health = ['busybox', 'wget', '-q', '-O', '-', 'http://172.18.10.95:2379/health']
    assert.match(await lab.host('96').exec(...health), /"health":"true"/)
  })

  inLab('gives every host its own name, default route and docker0', async () => {
    for (const host of lab.hosts) {
      assert.equal(await host.exec('hostname'), `host-${host.name}`)
      assert.equal(await host.docker('info', '-f', '{{.Name}}'), `host-${host.name}`)
      const routes = await host.exec('ip', 'route')
      assert.match(routes, /^default via 172\.18\.10\.1 dev eth0/m)
      assert.match(routes, /^172\.17\.0\.0\/16 dev docker0/m)
    }
  })

  inLab('runs containers of one name on both hosts, each seen by its own address', async () => {
    await using cleanUp = new AsyncDisposableStack()
    for (const host of lab.hosts) {
      const server = await host.run('server')
      cleanUp.defer(() => server.remove())
      const client = await host.run('client')
      cleanUp.defer(() => client.remove())
      const [from, to] = [await client.ip(), await server.ip()]
      await client.ping(to)
      await waitFor(async () => (await client.sourceSeenBy(to)) === from, {
        what: 'the TCP service to name its caller',
      })
      await waitFor(async () => (await client.udpSourceSeenBy(to)) === from, {
        what: 'the UDP service to name its caller',
      })
    }
  })

  inLab('tells a host that is as before from one that is not', async () => {
    const host = lab.host('96')
    const before = await host.stateText()
    await host.docker('network', 'create', '-d', 'bridge', 'extra')
    const extra = await host.run('extra', { network: 'extra' })
    assert.match(await extra.ip('extra'), /^172\.\d+\.0\.2$/)
    const during = await host.stateText()
    await extra.remove()
    await host.docker('network', 'rm', 'extra')
    assert.notEqual(during, before)
    assert.equal(await host.stateText(), before)
    await host.exec('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp')
    assert.notEqual(await host.stateText(), before)
    await host.exec('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/conf/eth0/proxy_arp')
  })

  inLab('keeps what etcd holds over a crash of etcd', async () => {
    await lab.etcd.ctl('put', '/lab-test/b', 'two')
    await lab.etcd.ctl('put', '/lab-test/a', 'one')
    await lab.etcd.kill()
    await assert.rejects(lab.etcd.ctl('get', '/lab-test/a', '--command-timeout=1s'))
    await lab.etcd.start()
    assert.equal(await lab.etcdText('/lab-test'), '/lab-test/a one\n/lab-test/b two')
    await lab.etcd.pause()
    await assert.rejects(lab.etcd.ctl('get', '/lab-test/a', '--command-timeout=300ms'))
    await lab.etcd.resume()
    await lab.etcd.ctl('del', '--prefix', '/lab-test')
    assert.equal(await lab.etcdText('/lab-test'), '')
  })

  inLab('pulls and plugs the cable of a host', async () => {
    const ping = (): Promise<string> =>
      lab.host('96').exec('busybox', 'ping', '-c', '1', '-W', '1', '172.18.10.98')
    await lab.switch.unplug('98')
    await assert.rejects(ping())
    await lab.switch.plug('98')
    await waitFor(ping, { what: 'host 98 to answer' })
  })

  inLab('runs a plugin where the dockerd of its host, and no other, finds it', async () => {
    const [first, second] = [lab.host('96'), lab.host('98')]
    await first.startPlugin({ program: STUB })
    await assert.rejects(
      first.docker('network', 'create', '-d', 'overlay-ts', '--ipam-driver', 'null', 'stub'),
      /the stub refuses \/NetworkDriver\.CreateNetwork/,
    )
    assert.match(first.pluginLog(), /^host-96 \/NetworkDriver\.CreateNetwork$/m)
    assert.equal(await first.exec('ls', '/run/docker/plugins'), 'overlay-ts.sock')
    assert.equal(await second.exec('ls', '/run/docker/plugins'), '')
    const pid = first.plugin.pid
    await first.killPlugin()
    assert.equal(first.plugin.running, false)
    await first.startPlugin({ program: STUB })
    assert.notEqual(first.plugin.pid, pid)
    assert.doesNotMatch(first.pluginLog(), /drained/)
    await first.stopPlugin()
    assert.match(first.pluginLog(), /drained/)
  })

  inLab('says with its own words why a plugin did not start', async () => {
    const env = { STUB_FAILS: 'no such luck' }
    const start = lab.host('98').startPlugin({ program: STUB, env })
    await assert.rejects(start, /plugin did not start on 98[^]*no such luck/)
  })

  inLab('starts dockerd again with the containers that a crash left', async () => {
    const host = lab.host('98')
    await host.run('survivor', { options: ['--restart', 'always'] })
    await host.stopDocker('SIGKILL')
    await host.startDocker()
    const running = ['inspect', '-f', '{{.State.Running}}', 'survivor']
    await waitFor(async () => (await host.docker(...running)) === 'true', {
      what: 'the container to run',
    })
    await host.container('survivor').remove()
  })

  inLab('takes in another host', async () => {
    const host = await lab.addHost('99')
    const container = await host.run('late')
    assert.equal(await container.ip(), '172.17.0.2')
    await host.exec('busybox', 'ping', '-c', '1', '-W', '20', '172.18.10.96')
    await assert.rejects(lab.addHost('99'), /has a host 99 already/)
  })

  inLab('is found by another process through its name', async () => {
    const same = Lab.open(lab.name)
    assert.equal(await same.host('96').exec('hostname'), 'host-96')
    assert.equal(same.host('96').dockerd.running, true)
    await assert.rejects(Lab.create({ name: lab.name, hosts: [] }), { code: 'conflict' })
    assert.equal(same.host('96').dockerd.running, true)
  })
})

test('two labs with the same addresses stand beside each other, and each goes without a trace', async () => {
  const before = traces()
  await withLab({ hosts: [], etcd: true }, async (one) => {
    await withLab({ hosts: [], etcd: true }, async (two) => {
      await one.etcd.ctl('put', '/in', 'one')
      await two.etcd.ctl('put', '/in', 'two')
      assert.equal(await one.etcdText(), '/in one')
      assert.equal(await two.etcdText(), '/in two')
    })
    assert.equal(await one.etcdText(), '/in one')
  })
  assert.deepEqual(traces(), before)
})

test('a lab with containers leaves no namespace, mount, control group, process or file', async () => {
  const before = traces()
  const lab = await Lab.create({ hosts: ['96'], etcd: false })
  await lab.host('96').run('running')
  const { init } = lab.host('96').machine
  await lab.remove()
  assert.deepEqual(traces(), before)
  await waitFor(() => !existsSync(`/proc/${init}`), { what: 'process 1 to be reaped' })
  assert.equal(existsSync(labDir(lab.name)), false)
})

test('a lab whose process was killed dies with it and is removed by the next', async () => {
  const owner = spawn(process.execPath, [OWNER], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(owner.stdout, 'data')) as [Buffer]
  const name = line.toString().trim()
  const { init } = Lab.open(name).etcd.machine
  assert.equal(existsSync(`/proc/${init}`), true)
  owner.kill('SIGKILL')
  await waitFor(() => !existsSync(`/proc/${init}`), { what: 'the machine to die with its owner' })
  await removeAbandonedLabs()
  assert.equal(
    allRecords().some((record) => record.name === name),
    false,
  )
  assert.throws(() => readRecord(name), { code: 'not_found' })
  assert.doesNotMatch(await command(['ip', 'netns', 'list']), new RegExp(`^${name}-`, 'm'))
})

test('a lab whose record is lost is removed by its name', async () => {
  const before = traces()
  const lab = await Lab.create({ hosts: [] })
  rmSync(labDir(lab.name), { recursive: true })
  await removeLab(lab.name)
  assert.deepEqual(traces(), before)
})

test('a lab that cannot be built says why and leaves nothing', async () => {
  const before = traces()
  await assert.rejects(Lab.create({ hosts: ['96'], etcd: false, dockerd: ['--no-such-flag'] }), {
    message: /dockerd did not start on 96[^]*no-such-flag/,
  })
  await assert.rejects(Lab.create({ hosts: ['95'] }), { code: 'bad_input' })
  assert.deepEqual(traces(), before)
})

/** What labs of this process leave on the machine: other tests' labs come and go meanwhile. */
function traces(): Record<string, string[]> {
  const ours = `ovt-${process.pid}-`
  const named = (dir: string): string[] =>
    existsSync(dir) ? readdirSync(dir).filter((name) => name.startsWith(ours)) : []
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const cgroups = mounts.filter((line) => line.split(' ')[2] === 'cgroup2')
  return {
    namespaces: named('/run/netns'),
    mounts: mounts.filter((line) => line.includes(ours)),
    cgroups: cgroups.flatMap((line) => named(line.split(' ')[1]!)),
    folders: named('/tmp/overlay-ts-lab'),
    processes: readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry) && commandLine(entry).includes(ours))
      .map(commandLine),
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
