import { Button, Group, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'

import { cancelLaunch, terminateModel } from '../api/instances'
import type { Instance } from '../api/instances'
import { isPending } from '../api/queries'
import { useI18n } from '../i18n'
import { routeTo } from '../route'
import { ConfirmDialog } from '../shell/ConfirmDialog'
import { ErrorAlert } from '../shell/ErrorAlert'

export function InstanceActions({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [asking, dialog] = useDisclosure(false)
  const { model_uid: uid, status } = instance
  const refresh = () => queries.invalidateQueries({ queryKey: ['instances'] })
  const cancel = useMutation({ mutationFn: cancelLaunch, onSettled: refresh })
  const terminate = useMutation({ mutationFn: terminateModel, onSettled: refresh })

  return (
    <Stack gap="xs" align="flex-end">
      <Group gap="xs">
        {status === 'READY' && (
          <Button
            component="a"
            href={routeTo('playground', uid)}
            size="xs"
            aria-label={t('running.open.uid', { uid })}
          >
            {t('running.open')}
          </Button>
        )}
        {isPending(instance) && (
          <Button
            size="xs"
            variant="default"
            loading={cancel.isPending}
            aria-label={t('running.cancel.uid', { uid })}
            onClick={() => cancel.mutate(uid)}
          >
            {t('running.cancel')}
          </Button>
        )}
        {(status === 'READY' || status === 'UPDATING') && (
          <Button
            size="xs"
            variant="default"
            loading={terminate.isPending}
            aria-label={t('running.terminate.uid', { uid })}
            onClick={dialog.open}
          >
            {t('running.terminate')}
          </Button>
        )}
        {status === 'ERROR' && (
          <Button
            size="xs"
            variant="default"
            loading={terminate.isPending}
            aria-label={t('running.remove.uid', { uid })}
            onClick={() => terminate.mutate(uid)}
          >
            {t('running.remove')}
          </Button>
        )}
      </Group>
      <ErrorAlert error={cancel.error ?? terminate.error} />
      <ConfirmDialog
        opened={asking}
        title={t('running.terminate.title', { uid })}
        text={t('running.terminate.text')}
        keep={t('running.keep')}
        confirm={t('running.terminate')}
        onClose={dialog.close}
        onConfirm={() => terminate.mutate(uid)}
      />
    </Stack>
  )
}
