import { Lab, type LabOptions } from '../../lab/lab.ts'

/** How much of a log the report of a failed test shows. */
const LINES = 40

/** dockerd tells much of its own workings and little of what went wrong. */
const CHATTER = /level=info|controller"$|EventChan|shim disconnected/

/** Builds a lab, gives it to the body and removes it, however that ends; a failure prints the hosts' logs. */
export async function withLab<T>(options: LabOptions, body: (lab: Lab) => Promise<T>): Promise<T> {
  await using lab = await Lab.create(options)
  return await explainFailure(lab, () => body(lab))
}

/** Runs the body of one test in a lab that several tests share; a failure prints the hosts' logs. */
export async function explainFailure<T>(lab: Lab, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (error) {
    console.error(labLogs(lab))
    throw error
  }
}

/** The last lines that the plugin and dockerd of every host wrote. */
export function labLogs(lab: Lab): string {
  return lab.hosts
    .flatMap((host) => [host.plugin, host.dockerd])
    .map((daemon) => {
      const all = daemon.log().trimEnd().split('\n')
      const lines = all.filter((line) => !CHATTER.test(line)).slice(-LINES)
      const state = daemon.running ? 'running' : 'not running'
      return [`--- ${daemon.name} on ${daemon.machine.name} (${state})`, ...lines].join('\n')
    })
    .join('\n')
}
