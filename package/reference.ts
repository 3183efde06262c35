import { OverlayError } from '../src/errors.ts'

/** HOST[:PORT]/PATH[:TAG], as far as it matters here; Docker checks the rest. */
const REFERENCE = /^([\w.-]+(?::\d+)?\/)?[a-z\d][a-z\d._/-]*(?::[\w.-]+)?$/i

/** What Docker takes for the plain name "overlay-ts". */
const SHORT_NAME = /^((index\.)?docker\.io\/)?(library\/)?overlay-ts(:latest)?$/

/**
 * The name under which Docker and registries keep the plugin.
 * @throws OverlayError bad_input when it is none, or would hide the driver's short name
 */
export function pluginReference(name: string): string {
  if (!REFERENCE.test(name)) {
    throw new OverlayError(
      'bad_input',
      `wanted a name such as registry.example.com/overlay-ts:1.0, found "${name}"`,
    )
  }
  if (SHORT_NAME.test(name)) {
    throw new OverlayError(
      'bad_input',
      `the plugin cannot be named ${name}: Docker would find the plugin itself when it looks for the driver ` +
        '"overlay-ts", and not the socket of that name; give a registry or a tag, such as overlay-ts:0.1',
    )
  }
  return name
}
