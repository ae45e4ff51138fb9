import type { Messages } from '../en'
import { cluster } from './cluster'
import { launch } from './launch'
import { playground } from './playground'
import { register } from './register'
import { running } from './running'
import { shell } from './shell'

export const zh: Messages = {
  ...shell,
  ...launch,
  ...running,
  ...playground,
  ...register,
  ...cluster,
}
