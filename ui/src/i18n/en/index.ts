import { cluster } from './cluster'
import { launch } from './launch'
import { playground } from './playground'
import { register } from './register'
import { running } from './running'
import { shell } from './shell'

export const en = { ...shell, ...launch, ...running, ...playground, ...register, ...cluster }

export type MessageKey = keyof typeof en
export type Messages = Record<MessageKey, string>
