import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { metricsOf, stateOf } from '../../../plugin/report.ts'
import { Controller } from '../../../src/control/controller.ts'
import { OWN_PATHS } from '../../../src/linux/host-paths.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { network, recordingLog } from '../control/control-support.ts'
import { keyspace } from '../store/view-support.ts'

test('a program that does not know its host yet counts what it can, and says why it tells no more', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'ovt-report-'))
  try {
    const controller = await Controller.open({
      settings: {
        stateDir,
        network: parseCidr('10.32.0.0/12'),
        subnetLength: 24,
        poolLength: 17,
        vxlanPort: 8472,
        iface: null,
        hostIp: null,
        etcdAddresses: [],
        version: '0',
        paths: OWN_PATHS,
      },
      store: new MemoryStore(),
      keys: keyspace,
      known: { list: async () => [], sandboxOf: async () => null },
      startDatapath: () => assert.fail('nothing is forwarded'),
      onFatal: (error) => assert.fail(error),
      log: recordingLog().log,
    })
    await controller.journal.networks.put('n', network('n', '10.33.5.0/24'))
    const report = { controller, dockerConnected: () => true }
    const metrics = await metricsOf(report)
    assert.deepEqual(metrics.counters, {})
    assert.deepEqual(
      [metrics.storeConnected, metrics.storeProblems, metrics.dockerConnected, metrics.networks],
      [false, 0, true, 1],
    )
    assert.equal(controller.notReady(), 'overlay-ts is still starting; try again in a few seconds')
    await assert.rejects(stateOf(report), { code: 'host_state', message: /still starting/ })
  } finally {
    await rm(stateDir, { recursive: true })
  }
})
