import { Text } from '@mantine/core'

import { useLogs } from '../api/queries'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import classes from './Logs.module.css'

const SHOWN_LINES = 20

export function Logs({ uid }: { uid: string }) {
  const { t } = useI18n()
  const { data, error } = useLogs(uid)
  return (
    <>
      <ErrorAlert error={error} />
      {data?.map(({ replica_id, lines }) => {
        const title = t('logs.title', { id: replica_id })
        return (
          <section key={replica_id}>
            <Text fz="sm" c="dimmed" mb={4}>
              {title}
            </Text>
            <pre className={classes.lines} tabIndex={0} aria-label={title}>
              {lines.slice(-SHOWN_LINES).join('\n') || t('logs.none')}
            </pre>
          </section>
        )
      })}
    </>
  )
}
