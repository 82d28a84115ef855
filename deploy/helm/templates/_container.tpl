{{/* The exporter's container and its volumes, for both sidecar and standalone. */}}

{{- define "poolexporter.container" -}}
name: pool-exporter
image: {{ include "poolexporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - serve
  - --config=/etc/sqlalchemy-pool-exporter/exporter.yaml
  {{- /* Keep running with an invalid configuration: a container that exits makes the whole pod unready. */}}
  - --wait-for-config
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: POOL_EXPORTER_LISTEN
    value: ":{{ .Values.port }}"
  {{- if or .Values.existingSecrets .Values.secrets }}
  - name: POOL_EXPORTER_SECRETS_DIR
    value: /run/secrets/sqlalchemy-pool-exporter
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: pool-metrics
    containerPort: {{ .Values.port }}
livenessProbe:
  {{- include "poolexporter.probe" .Values.livenessProbe | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "poolexporter.securityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: pool-exporter-config
    mountPath: /etc/sqlalchemy-pool-exporter
    readOnly: true
  {{- if or .Values.existingSecrets .Values.secrets }}
  - name: pool-exporter-secrets
    mountPath: /run/secrets/sqlalchemy-pool-exporter
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "poolexporter.containerVolumes" -}}
- name: pool-exporter-config
  configMap:
    name: {{ include "poolexporter.fullname" . | quote }}
    {{- /* The application's pod must start without it. */}}
    optional: true
{{- if or .Values.existingSecrets .Values.secrets }}
- name: pool-exporter-secrets
  projected:
    sources:
      {{- if .Values.secrets }}
      - secret:
          name: {{ include "poolexporter.fullname" . | quote }}
          optional: true
      {{- end }}
      {{- range .Values.existingSecrets }}
      - secret:
          {{- set (deepCopy .) "optional" (dig "optional" true .) | toYaml | nindent 10 }}
      {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A probe may have only one handler, but Helm merges yours with the default. */}}
{{- define "poolexporter.probe" -}}
{{- if or .tcpSocket .exec .grpc }}
{{- omit . "httpGet" | toYaml }}
{{- else }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Drops keys set to "". Setting a key to null removes it only in some versions of Helm. */}}
{{- define "poolexporter.securityContext" -}}
{{- $context := deepCopy .Values.securityContext -}}
{{- range $key, $value := .Values.securityContext }}
{{- if eq (toString $value) "" }}{{ $_ := unset $context $key }}{{ end }}
{{- end }}
{{- toYaml $context }}
{{- end }}
