import { Button, Group, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'

import { cancelLaunch, terminateModel } from '../api/models'
import type { Instance } from '../api/models'
import { isPending } from '../api/queries'
import { useI18n } from '../i18n'
import { routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { TerminateDialog } from './TerminateDialog'

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
        {status === 'READY' && instance.model_ability.includes('chat') && (
          <Button
            component="a"
            href={routeTo('chat', uid)}
            size="xs"
            aria-label={t('running.chat.with', { uid })}
          >
            {t('running.chat')}
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
      <TerminateDialog
        uid={uid}
        opened={asking}
        onClose={dialog.close}
        onConfirm={() => {
          dialog.close()
          terminate.mutate(uid)
        }}
      />
    </Stack>
  )
}
