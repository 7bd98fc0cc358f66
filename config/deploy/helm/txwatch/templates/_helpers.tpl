{{/* What selects the pods of this release. */}}
{{- define "txwatch.selector" -}}
app.kubernetes.io/name: txwatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The same of the pods of forward. */}}
{{- define "txwatch.forward.selector" -}}
app.kubernetes.io/name: txwatch-forward
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What every object is labelled with. */}}
{{- define "txwatch.labels" -}}
{{ include "txwatch.selector" . }}
{{ include "txwatch.common" . }}
{{- end }}

{{- define "txwatch.forward.labels" -}}
{{ include "txwatch.forward.selector" . }}
{{ include "txwatch.common" . }}
{{- end }}

{{- define "txwatch.common" -}}
app.kubernetes.io/part-of: txwatch
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}
