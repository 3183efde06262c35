import { SETTINGS, type Setting } from '../plugin/settings.ts'
import { manifest } from './manifest.ts'

/** The variables of the managed plugin as cells of a Markdown table: name, value, meaning. */
export function settingRows(): string[][] {
  const settings: Readonly<Record<string, Setting<unknown>>> = SETTINGS
  return manifest().env.map(({ name, value, description }) => [
    `\`${name}\``,
    value === '' ? (settings[name]?.whenUnset ?? 'none') : `\`${value}\``,
    description,
  ])
}
