import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from '../../../lab/argv.ts'
import { command } from '../../../lab/command.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { builtPlugin } from '../../../lab/managed-plugin.ts'

/** What the lab's etcd wants of a managed plugin. */
export const MANAGED_SETTINGS = ['ETCD_ENDPOINTS=http://172.18.10.95:2379']

/** Pushes the plugin as it is now, as if it were of this version, and keeps none of it on the host. */
export async function pushVersion(host: DockerHost, name: string, version: string): Promise<void> {
  const dir = host.machine.path('plugin')
  // By links: the files are many, and shared with other labs.
  await command(['cp', '-al', await builtPlugin(host), dir])
  const packageJson = join(dir, 'rootfs', 'app', 'package.json')
  const content = JSON.parse(readFileSync(packageJson, 'utf8')) as object
  rmSync(packageJson)
  writeFileSync(packageJson, JSON.stringify({ ...content, version }))
  await host.docker('plugin', 'create', name, dir)
  rmSync(dir, { recursive: true })
  await host.docker('plugin', 'push', name)
  await host.docker('plugin', 'rm', name)
}

/** STATE_DIR of a managed plugin: the folder that Docker keeps for it. */
export async function managedStateDir(host: DockerHost, name: string): Promise<string> {
  const id = await host.docker('plugin', 'inspect', '-f', '{{.Id}}', name)
  return host.machine.path('docker', 'plugins', id.trim(), 'propagated-mount')
}

/** The version that serves now. @throws when none does */
export async function runningVersion(host: DockerHost): Promise<string> {
  return (JSON.parse(await host.admin('/v1/state')) as { version: string }).version
}

/** Mounts of the machine that have to do with plugins, one a line. */
export async function pluginMounts(host: DockerHost): Promise<string> {
  const mounts = await host.exec('findmnt', '-rno', 'TARGET')
  return mounts
    .split('\n')
    .filter((target) => /\/plugins\/|^\/run\/docker$|^\/host/.test(target))
    .sort()
    .join('\n')
}

/** docker_gwbridge, which Docker makes with its first container and keeps. */
export async function makeGatewayBridge(host: DockerHost): Promise<void> {
  const options = ['name=docker_gwbridge', 'enable_icc=false', 'enable_ip_masquerade=true']
  await host.docker(
    ...argv`network create ${options.flatMap((option) => ['-o', `com.docker.network.bridge.${option}`])}`,
    'docker_gwbridge',
  )
}

/** All that a plugin can leave on a host, as comparable text. */
export async function tracesOf(host: DockerHost): Promise<string> {
  return `${await host.stateText()}\n\n== mounts\n${await pluginMounts(host)}`
}

/** Of each running container when it was started, and its addresses. */
export async function attachmentsOf(host: DockerHost): Promise<string> {
  const ids = (await host.docker('ps', '-q')).split('\n')
  const format =
    '{{.Name}} {{.State.StartedAt}}{{range $n, $e := .NetworkSettings.Networks}} {{$n}}={{$e.IPAddress}},{{$e.MacAddress}}{{end}}'
  return (await host.docker('inspect', '-f', format, ...ids)).split('\n').sort().join('\n')
}
