import { Paper, Skeleton, Stack, Text } from '@mantine/core'

import { useCluster } from '../api/queries'
import { formatDuration } from '../format'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import { PageTitle } from '../shell/PageTitle'
import { Events } from './Events'
import { WorkerCard } from './WorkerCard'

export default function ClusterPage() {
  const { t, language } = useI18n()
  const { data, error, isLoading } = useCluster()
  return (
    <Stack gap="md">
      <PageTitle>{t('cluster.title')}</PageTitle>
      <ErrorAlert error={error} />
      {isLoading && <Skeleton h={120} aria-label={t('loading')} />}
      {data && (
        <Text c="dimmed">
          {[
            data.workers.length === 1
              ? t('cluster.workers.one')
              : t('cluster.workers.many', { count: data.workers.length }),
            t('cluster.uptime', { time: formatDuration(data.uptime, language) }),
          ].join(' · ')}
        </Text>
      )}
      {data?.workers.length === 0 && (
        <Paper withBorder p="xl" ta="center">
          <Text c="dimmed">{t('cluster.none')}</Text>
        </Paper>
      )}
      {data?.workers.map((worker) => (
        <WorkerCard key={worker.address} worker={worker} />
      ))}
      <Events />
    </Stack>
  )
}
