#!/usr/bin/env node
import { flushCompileCache } from 'node:module'
import { Controller } from '../src/control/controller.ts'
import { startDatapath } from '../src/datapath/datapath.ts'
import { messageOf, OverlayError } from '../src/errors.ts'
import { createLog } from '../src/log.ts'
import { TUN_NAME } from '../src/linux/host-state.ts'
import { createKeyspace } from '../src/store/keyspace.ts'
import { startAdmin } from './admin.ts'
import { loadConfig, type Config } from './config.ts'
import { describeConfig } from './describe-config.ts'
import { createDockerWatch } from './docker.ts'
import { createIpamDriver } from './ipam-driver.ts'
import { createNetworkDriver } from './network-driver.ts'
import { createPluginApp } from './plugin-app.ts'
import { metricsOf, stateOf } from './report.ts'
import { listen, type PluginServer } from './server.ts'
import { notifyReady } from './service-manager.ts'
import { clearStaleSocket } from './stale-socket.ts'
import { etcdAddresses, openStore } from './store.ts'
import { UnheededOptions } from './unheeded-options.ts'
import { VERSION } from './version.ts'

const config = configOrExit()
if (process.argv.includes('--check')) {
  process.stdout.write(describeConfig(config))
  process.exit(0)
}
// ── Above: read and validate only. Below: the state directory, sockets, links, rules. ──

const log = createLog(config.logLevel)
const serviceManager = process.env['NOTIFY_SOCKET']
// Programs started from here, etcd among them, are not the service.
delete process.env['NOTIFY_SOCKET']
log.info({ version: VERSION }, 'overlay-ts starts')
const started = Promise.withResolvers<void>()
const stopRequested = Promise.withResolvers<number>()
// From the start on: process 1 of a container is deaf to signals that it does not ask for.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => stopRequested.resolve(0))
}
/** In this order: dockerd goes on as soon as it can call the plugin's own, and may call by the short name then. */
const sockets = [
  ...(config.hostSocket === null ? [] : [['HOST_SOCKET', config.hostSocket] as const]),
  ['SOCKET', config.socket] as const,
]

try {
  // The state directory of a plugin that runs is not ours to open.
  for (const [setting, path] of sockets) await clearStaleSocket(path, setting)
  const etcd = openStore(config, log)
  const controller = await Controller.open({
    settings: { ...config, etcdAddresses: etcdAddresses(config), version: VERSION },
    store: etcd.store,
    keys: createKeyspace(config.etcd.prefix),
    known: {
      list: () => docker.networks.list(),
      sandboxOf: (containerId) => docker.networks.sandboxOf(containerId),
    },
    startDatapath: (underlay) =>
      startDatapath({
        ...underlay,
        tunName: TUN_NAME,
        workers: config.workers,
        dscp: config.dscp,
        busyPollUs: config.busyPollUs,
        udpSegmentation: config.udpSegmentation,
        udpReceiveOffload: config.udpReceiveOffload,
        log,
      }),
    onFatal: (error) => fatal(error),
    log,
  })
  const unheeded = new UnheededOptions({ ipamOf: (id) => docker.networks.ipamOf(id), log })
  const docker = createDockerWatch({
    dockerHost: config.dockerHost,
    log,
    onEvent: (event) => {
      if (event.kind === 'networkCreated') {
        void unheeded.look(event.id)
        void controller.networks.learnName(event.id, event.name)
      }
      if (event.kind === 'networkDestroyed') unheeded.forget(event.id)
      if (event.kind !== 'connected') return
      // dockerd writes its firewall anew when it starts.
      void controller.hostChanged()
      void controller.rebuild.attempt()
    },
  })
  const app = createPluginApp({
    network: createNetworkDriver({
      controller,
      canLearnNames: () => docker.reachable(),
      refuseNetwork: (id) => unheeded.refuse(id),
    }),
    ipam: createIpamDriver(controller),
    log,
    started: started.promise,
  })
  // dockerd gives up on a plugin that does not listen within seconds, so etcd comes after this.
  const servers: PluginServer[] = []
  for (const [, path] of sockets) servers.push(await listen(app, path))
  await controller.start()
  started.resolve()
  if (serviceManager) {
    await notifyReady(serviceManager).catch((error: unknown) => log.warn(messageOf(error)))
  }
  etcd.start()
  const report = { controller, dockerConnected: () => docker.connected }
  const admin = await startAdmin({
    listen: config.adminListen,
    notReady: () => controller.notReady(),
    metrics: () => metricsOf(report),
    state: () => stateOf(report),
    log,
  })
  log.info(
    { sockets: sockets.map(([, path]) => path), state: config.stateDir },
    'overlay-ts serves',
  )
  // With NODE_COMPILE_CACHE: for the next start, even if this process is killed.
  flushCompileCache()

  const code = await stopRequested.promise
  log.info('overlay-ts stops; containers stay connected to their networks')
  await Promise.all(servers.map((server) => server.close()))
  await admin.close()
  await docker.stop()
  await controller.stop()
  await etcd.close()
  process.exit(code)
} catch (error) {
  fatal(error)
}

function configOrExit(): Config {
  try {
    return loadConfig(process.env)
  } catch (error) {
    process.stderr.write(`overlay-ts: ${messageOf(error)}\n`)
    process.exit(2)
  }
}

function fatal(error: unknown): never {
  if (error instanceof OverlayError) log.fatal({ code: error.code }, error.message)
  else log.fatal({ err: error }, 'overlay-ts cannot go on')
  process.exit(1)
}
