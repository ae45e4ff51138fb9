import { Text } from '@mantine/core'

import { address } from '../api/http'
import type { LaunchRequest } from '../api/instances'
import { useI18n } from '../i18n'
import { CodeBlock } from '../shell/CodeBlock'
import disclosure from '../shell/Disclosure.module.css'
import { toCommand, toCurl } from './command'

export function CommandLine({ launch }: { launch: LaunchRequest }) {
  const { t } = useI18n()
  const endpoint = address('.').href.replace(/\/$/, '')
  const command = toCommand(launch, endpoint)
  return (
    <details className={disclosure.disclosure}>
      <summary>{t('command.title')}</summary>
      {command ? (
        <CodeBlock text={command} label="xinference" />
      ) : (
        <Text fz="sm">{t('command.none')}</Text>
      )}
      <CodeBlock text={toCurl(launch, endpoint)} label="curl" />
    </details>
  )
}
