import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import type { IpamDriver, NetworkDriver } from '../../plugin/drivers.ts'
import { createPluginApp, type PluginApp } from '../../plugin/plugin-app.ts'
import { listen, type PluginServer } from '../../plugin/server.ts'
import { scriptedIpamDriver, scriptedNetworkDriver } from './scripted-drivers.ts'
import { UnixClient } from './unix-client.ts'

export interface ScriptedPluginOptions {
  readonly network?: Partial<NetworkDriver>
  readonly ipam?: Partial<IpamDriver>
  readonly callDeadlineMs?: number
  readonly drainMs?: number
}

export interface ScriptedPlugin {
  readonly app: PluginApp
  readonly server: PluginServer
  readonly client: UnixClient
  /** What was logged, parsed. */
  readonly lines: readonly Record<string, unknown>[]
  readonly socketPath: string
}

/** The real server on a real socket before scripted drivers; goes with the test. */
export async function startScriptedPlugin(
  t: TestContext,
  { network, ipam, callDeadlineMs, drainMs }: ScriptedPluginOptions = {},
): Promise<ScriptedPlugin> {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-server-'))
  const socketPath = join(folder, 'plugins', 'overlay-ts.sock')
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const app = createPluginApp({
    network: scriptedNetworkDriver(network),
    ipam: scriptedIpamDriver(ipam),
    log,
    ...(callDeadlineMs !== undefined && { callDeadlineMs }),
  })
  const server = await listen(app, socketPath, drainMs)
  const client = new UnixClient(socketPath)
  t.after(async () => {
    client[Symbol.dispose]()
    await server.close()
    await rm(folder, { recursive: true })
  })
  return { app, server, client, lines, socketPath }
}
