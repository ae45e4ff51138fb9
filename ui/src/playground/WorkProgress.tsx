import { Group, Progress, Text } from '@mantine/core'

import { useRequestProgress } from '../api/queries'
import { useI18n } from '../i18n'

/** How far the server is with a request; that it waits, while nobody works on it. */
export function WorkProgress({ id }: { id: string }) {
  const { t } = useI18n()
  const progress = useRequestProgress(id)
  const percent = Math.round(progress * 100)
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text fz="sm">{t(progress === 0 ? 'pane.waits' : 'pane.works')}</Text>
        <Text fz="sm" c="dimmed">
          {percent}%
        </Text>
      </Group>
      <Progress value={percent} animated aria-label={t('pane.progress')} />
    </div>
  )
}
