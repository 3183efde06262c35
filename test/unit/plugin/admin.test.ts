import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { pino } from 'pino'
import { startAdmin, type AdminOptions } from '../../../plugin/admin.ts'
import type { MetricsSnapshot } from '../../../plugin/metrics.ts'
import { VERSION } from '../../../plugin/version.ts'

const SNAPSHOT: MetricsSnapshot = {
  counters: { packets_sent: 12, bytes_sent: 2 ** 40 },
  drops: { spoofed: 3, unknown_vni: 0 },
  isolationDrops: { from_docker0: 7 },
  tunQueueDrops: 4,
  datapath: { workers: 2, tunOffload: 'checksum', udpSegmentation: true, qdisc: 'mq' },
  storeConnected: true,
  storeProblems: 1,
  firewallProblems: 2,
  dockerConnected: false,
  networks: 2,
  endpoints: 5,
}

async function admin(t: TestContext, own: Partial<AdminOptions> = {}): Promise<string> {
  const server = await startAdmin({
    listen: { host: '127.0.0.1', port: 0 },
    log: pino({ level: 'silent' }),
    notReady: () => null,
    metrics: () => SNAPSHOT,
    state: () => ({ host: 'h1' }),
    ...own,
  })
  t.after(() => server.close())
  return `http://127.0.0.1:${server.address.port}`
}

test('health is told while the process runs', async (t) => {
  const reply = await fetch(`${await admin(t)}/healthz`)
  assert.equal(reply.status, 200)
  assert.equal(await reply.text(), 'ok\n')
})

test('readiness says what is missing', async (t) => {
  let missing: string | null = 'etcd does not answer'
  const url = await admin(t, { notReady: () => missing })
  const before = await fetch(`${url}/readyz`)
  assert.equal(before.status, 503)
  assert.equal(await before.text(), 'etcd does not answer\n')
  missing = null
  assert.equal((await fetch(`${url}/readyz`)).status, 200)
})

test('metrics are Prometheus text, scraped as often as one likes', async (t) => {
  const url = await admin(t)
  await fetch(`${url}/metrics`)
  const reply = await fetch(`${url}/metrics`)
  assert.equal(reply.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const lines = (await reply.text()).split('\n')
  for (const line of [
    '# TYPE overlay_ts_packets_sent_total counter',
    'overlay_ts_packets_sent_total 12',
    'overlay_ts_bytes_sent_total 1099511627776',
    'overlay_ts_drops_total{reason="spoofed"} 3',
    'overlay_ts_drops_total{reason="unknown_vni"} 0',
    'overlay_ts_isolation_drops_total{rule="from_docker0"} 7',
    'overlay_ts_tun_queue_drops_total 4',
    'overlay_ts_datapath_info{workers="2",tun_offload="checksum",udp_segmentation="true",qdisc="mq"} 1',
    'overlay_ts_store_connected 1',
    'overlay_ts_store_problems 1',
    'overlay_ts_docker_connected 0',
    'overlay_ts_networks 2',
    'overlay_ts_endpoints 5',
    `overlay_ts_build_info{version="${VERSION}"} 1`,
  ]) {
    assert.ok(lines.includes(line), line)
  }
})

test('a figure that could not be had is left out, and the others are told', async (t) => {
  const url = await admin(t, { metrics: () => ({ ...SNAPSHOT, tunQueueDrops: null }) })
  const text = await (await fetch(`${url}/metrics`)).text()
  assert.doesNotMatch(text, /tun_queue_drops/)
  assert.match(text, /^overlay_ts_endpoints 5$/m)
})

test('state is JSON', async (t) => {
  assert.deepEqual(await (await fetch(`${await admin(t)}/v1/state`)).json(), { host: 'h1' })
})

test('a failing callback is a 500 and the next request works', async (t) => {
  const url = await admin(t, {
    state: () => {
      throw new Error('a defect')
    },
    metrics: () => {
      throw new Error('another')
    },
  })
  assert.equal((await fetch(`${url}/v1/state`)).status, 500)
  assert.equal((await fetch(`${url}/metrics`)).status, 500)
  assert.equal((await fetch(`${url}/healthz`)).status, 200)
})

test('nothing else is served, and nothing can be changed', async (t) => {
  const url = await admin(t)
  assert.equal((await fetch(`${url}/`)).status, 404)
  assert.equal((await fetch(`${url}/v1/state`, { method: 'POST' })).status, 404)
})

test('a taken port is an error that names the variable', async (t) => {
  const { port } = new URL(await admin(t))
  await assert.rejects(admin(t, { listen: { host: '127.0.0.1', port: Number(port) } }), {
    code: 'host_state',
    message: new RegExp(`^ADMIN_LISTEN 127\\.0\\.0\\.1:${port} cannot be listened on .*EADDRINUSE`),
  })
})
