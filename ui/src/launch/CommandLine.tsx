import { address } from '../api/http'
import type { LaunchRequest } from '../api/instances'
import { useI18n } from '../i18n'
import { CodeBlock } from '../shell/CodeBlock'
import disclosure from '../shell/Disclosure.module.css'
import { toCommand, toCurl } from './command'

export function CommandLine({ launch }: { launch: LaunchRequest }) {
  const { t } = useI18n()
  const endpoint = address('.').href.replace(/\/$/, '')
  return (
    <details className={disclosure.disclosure}>
      <summary>{t('command.title')}</summary>
      <CodeBlock text={toCommand(launch, endpoint)} label="xinference" />
      <CodeBlock text={toCurl(launch, endpoint)} label="curl" />
    </details>
  )
}
